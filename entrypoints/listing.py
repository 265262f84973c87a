"""`gateway events`: the log as it is stored; what is sought in it, or followed as it grows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

import psycopg

from adapters.log.reading import PostgresEvents
from application.ports import EventFilter, StoredEvent
from entrypoints.http.admin.events import row
from entrypoints.http.wire import dump

PAGE: Final = 500
FOLLOW_S: Final = 0.5


async def list_events(
    url: str, wanted: EventFilter, *, follow: bool, line: Callable[[StoredEvent], str], show: Callable[[str], None]
) -> None:
    """Shows at most `wanted.limit` events, or goes on until it is cancelled."""
    reader = PostgresEvents(url)
    await reader.open()
    try:
        async for event in _events(reader, url, wanted, follow=follow):
            show(line(event))
    finally:
        await reader.close()


async def _events(reader: PostgresEvents, url: str, wanted: EventFilter, *, follow: bool) -> AsyncIterator[StoredEvent]:
    shown = 0
    while follow or shown < wanted.limit:
        head = head_position(url) if follow else 0
        page = await reader.page(replace(wanted, limit=PAGE if follow else min(PAGE, wanted.limit - shown)))
        for event in page:
            yield event
        shown += len(page)
        last = page[-1].position if page else wanted.after
        if len(page) == PAGE:
            wanted = replace(wanted, after=last)
        elif follow:
            # Up to the head nothing more is there, so that a rare event is not sought from the beginning each time.
            wanted = replace(wanted, after=max(last, head))
            await asyncio.sleep(FOLLOW_S)
        else:
            return


def head_position(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        return int(connection.execute("SELECT coalesce(max(notification_id), 0) FROM stored_events").fetchall()[0][0])


def text_line(event: StoredEvent) -> str:
    at = event.at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{event.position:>8}  {at}  {event.topic:<28}  {event.by:<20}  {event.stream} v{event.version}"


def json_line(event: StoredEvent) -> str:
    """As `GET /admin/events` shows it."""
    return dump(row(event)).decode()
