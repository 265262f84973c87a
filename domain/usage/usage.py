"""The rule of the records of usage: what is deleted stays deleted, and what is to come can't be deleted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from domain.errors import Unreadable
from domain.ids import Slug
from domain.kernel import Decider, Recorded, UnknownEvent
from domain.state import Kind
from domain.usage.commands import DeleteUsage
from domain.usage.events import UsageDeleted

RECORDS: Final = Slug("records")
"""All of an organisation's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    deleted_before: datetime | None = None
    readable: bool = True


USAGE: Final = Kind[str, Usage]("usage")


def decide(command: DeleteUsage, usage: Usage | None, now: datetime) -> Iterator[UsageDeleted]:
    if usage is not None and not usage.readable:
        raise Unreadable
    since = None if usage is None else usage.deleted_before
    before = min(command.before, now)
    if since is None or since < before:
        yield UsageDeleted(before=before, since=since)


def evolve(usage: Usage | None, recorded: Recorded[Any]) -> Usage | None:
    match recorded.event:
        case UsageDeleted(before=before):
            return replace(usage or Usage(), deleted_before=before)
        case UnknownEvent():
            return replace(usage or Usage(), readable=False)
    return usage


decider = Decider[Usage](
    category="usage",
    identity="records_id",
    kind=USAGE,
    commands=(DeleteUsage,),
    events=(UsageDeleted,),
    decide=decide,
    evolve=evolve,
)
