"""/admin/events: the log itself, filtered and in pages by position."""

from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp import web

from application.ports import EventFilter, StoredEvent
from entrypoints.http.authentication import asker
from entrypoints.http.keys import EVENTS
from entrypoints.http.query_string import moment, text, whole_number
from entrypoints.http.wire import Row, answer

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
POSITION_MAX: Final = 2**63 - 1

TEXTS: Final = ("stream", "category", "topic", "by", "correlation_id")


async def all_events(request: web.Request) -> web.Response:
    await asker(request)
    wanted = asked(request.query)
    events = await request.app[EVENTS].page(wanted)
    page = {"events": [row(event) for event in events]}
    # A full page may be the last one: then the next is empty, and has no `next`.
    following = {"next": events[-1].position} if len(events) == wanted.limit else {}
    return answer(page | following)


def asked(said: Mapping[str, str]) -> EventFilter:
    return EventFilter(
        **{name: text(said, name) for name in TEXTS},
        since=moment(said, "from"),
        until=moment(said, "to"),
        after=whole_number(said, "after", at_most=POSITION_MAX) or 0,
        limit=whole_number(said, "limit", at_least=1, at_most=LIMIT_MAX) or LIMIT_DEFAULT,
    )


def row(event: StoredEvent) -> Row:
    return {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "topic": event.topic,
        "at": event.at,
        "org": event.org,
        "by": event.by,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "data": orjson.Fragment(event.data),
        "hash": event.hash.hex(),
    }


ROUTES: Final = (web.get("/admin/events", all_events),)
