"""Between events and the rows that store them. Reading is tolerant: what can't be read becomes an UnknownEvent, never an exception."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from domain.deciders import EVENT_OF_TOPIC
from domain.errors import Invalid
from domain.kernel import Event, Forgettable, Recorded, UnknownEvent

STATE_BYTES_MAX = 64 * 1024
"""An event's JSON. Larger contents are side rows, named by digest."""

UNSTORABLE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A zero character in JSON, which PostgreSQL's jsonb can't hold."""

COLUMNS = "notification_id, originator_id, originator_version, topic, at, org, by, correlation_id, causation_id, state, hash"


class Row(NamedTuple):
    """One row of `stored_events`, in the order of COLUMNS."""

    position: int
    stream: str
    version: int
    topic: str
    at: datetime
    org: str
    by: str
    correlation_id: str
    causation_id: str | None
    state: bytes
    hash: bytes


def encode(event: Event) -> bytes:
    """JSON, as it is stored and hashed: without what equals its default, which halves a wide event; so defaults never change.

    The serializer is called directly: it is on the path of every completion.
    """
    state = event.__pydantic_serializer__.to_json(event, exclude_defaults=True)
    if len(state) > STATE_BYTES_MAX:
        raise Invalid(f"This is too large to be recorded: {len(state)} bytes of {STATE_BYTES_MAX}")
    return state


class ForgettableRow(NamedTuple):
    """One row of `forgettable`."""

    kind: str
    reference: UUID
    body: str


def encode_forgettable(item: Forgettable) -> ForgettableRow:
    """Refuses what the database would: there, it would take the whole batch with it."""
    try:
        body = json.dumps(item.body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        body.encode()
    except UnicodeEncodeError:
        raise Invalid("This holds characters that are not Unicode") from None
    if UNSTORABLE.search(body):
        raise Invalid("This holds a zero character, which can't be recorded")
    if len(body) > STATE_BYTES_MAX:
        raise Invalid(f"This is too large to be recorded: {len(body)} characters of {STATE_BYTES_MAX}")
    return ForgettableRow(item.kind, item.reference, body)


def decode(topic: str, state: bytes) -> Event:
    known = EVENT_OF_TOPIC.get(topic)
    if known is None:
        return UnknownEvent(unknown_topic=topic)
    try:
        event: Event = known.__pydantic_validator__.validate_json(state)
    except ValidationError:
        return UnknownEvent(unknown_topic=topic)
    return event


def whole(topic: str, state: bytes) -> bytes:
    """An event's JSON for people: with its defaults; as stored where it can't be read."""
    event = decode(topic, state)
    return state if isinstance(event, UnknownEvent) else event.__pydantic_serializer__.to_json(event)


def recorded(row: Row | Sequence[Any]) -> Recorded[Any]:
    position, stream, version, topic, at, org, by, correlation_id, causation_id, state, hash_ = row
    return Recorded(position, stream, version, topic, at, org, by, correlation_id, causation_id, decode(topic, state), hash_)


def columns(rows: Iterable[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    """The rows turned into one array per column, as `unnest` takes them."""
    return tuple(list(column) for column in zip(*rows, strict=True))
