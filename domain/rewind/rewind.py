"""The rule of a rewind: it is noted once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.kernel import Decider, Recorded
from domain.rewind.commands import NoteRewind
from domain.rewind.events import LogRewound
from domain.state import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewind:
    lost_position: int
    noticed_at: datetime


REWINDS: Final = Kind[str, Rewind]("rewind")


def decide(command: NoteRewind, rewind: Rewind | None, now: datetime) -> Iterator[LogRewound]:
    if rewind is None:
        yield LogRewound(lost_position=command.lost_position, lost_hash=command.lost_hash)


def evolve(rewind: Rewind | None, recorded: Recorded[Any]) -> Rewind | None:
    match recorded.event:
        case LogRewound(lost_position=lost_position):
            return Rewind(lost_position=lost_position, noticed_at=recorded.at)
    return rewind


decider = Decider[Rewind](
    category="rewind",
    identity="rewind_id",
    kind=REWINDS,
    commands=(NoteRewind,),
    events=(LogRewound,),
    decide=decide,
    evolve=evolve,
)
