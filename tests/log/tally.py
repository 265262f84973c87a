"""An aggregate for the writer's own tests: it counts up to a limit, and does what a test wants to see go wrong."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from adapters.log.postgres_log import PostgresLog
from application.ports import Committed
from domain import deciders
from domain.errors import Conflict, Unreadable
from domain.ids import Slug
from domain.kernel import Command, Decider, Event, Forgettable, Recorded, UnknownEvent
from domain.state import Kind


class Counted(Event):
    topic: ClassVar[str] = "tally.counted.v1"

    note: str = ""


class Count(Command):
    """One more, `events` times; a total above `limit` is refused."""

    tally_id: Slug
    events: int = 1
    limit: int | None = None
    note: str = ""
    fault: Literal["bug", "slow", "poison"] | None = None
    person: UUID | None = None
    """Yields a forgettable row under this reference."""
    name: str = "Ada"


@dataclass(frozen=True, slots=True)
class Tally:
    total: int = 0
    readable: bool = True


TALLIES: Final = Kind[str, Tally]("tally")
SLOW_S: Final = 0.06


def decide(command: Count, tally: Tally | None, now: datetime) -> Iterator[Event | Forgettable]:
    if tally is not None and not tally.readable:
        raise Unreadable
    total = 0 if tally is None else tally.total
    if command.fault == "bug":
        yield Counted()
        raise ZeroDivisionError
    if command.fault == "slow":
        time.sleep(SLOW_S)
    if command.limit is not None and total + command.events > command.limit:
        raise Conflict(f"{total} of {command.limit} are counted")
    if command.person is not None:
        yield Forgettable("person", command.person, {"name": command.name})
    for _ in range(command.events):
        yield Counted(note="poison" if command.fault == "poison" else command.note)


def evolve(tally: Tally | None, recorded: Recorded[Any]) -> Tally | None:
    match recorded.event:
        case Counted():
            tally = tally or Tally()
            return replace(tally, total=tally.total + 1)
        case UnknownEvent():
            return replace(tally or Tally(), readable=False)
    return tally


decider = Decider[Tally](
    category="tally", identity="tally_id", kind=TALLIES, commands=(Count,), events=(Counted,), decide=decide, evolve=evolve
)


async def count(log: PostgresLog, tally_id: str, *, correlation_id: str = "c") -> Committed:
    """One more."""
    return await log.submit(Count(tally_id=Slug(tally_id)), by="key:test", correlation_id=correlation_id)


@asynccontextmanager
async def piling_up(log: PostgresLog) -> AsyncIterator[None]:
    """What is submitted inside waits until the writer has time, and shares a batch."""
    busy, free = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        free.wait()

    log.writer.catch_ups.append(hold)
    log.writer.queue.wake()
    await asyncio.to_thread(busy.wait)
    try:
        yield
        await asyncio.sleep(0)
    finally:
        free.set()


def register() -> None:
    """Into the maps of this process."""
    deciders.DECIDER_OF_COMMAND[Count] = decider
    deciders.DECIDER_OF_CATEGORY[decider.category] = decider
    deciders.EVENT_OF_TOPIC[Counted.topic] = Counted


def unregister() -> None:
    """Out again, since other tests look at every aggregate that there is."""
    del deciders.DECIDER_OF_COMMAND[Count]
    del deciders.DECIDER_OF_CATEGORY[decider.category]
    del deciders.EVENT_OF_TOPIC[Counted.topic]
