"""The rules of a process."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from domain.errors import Conflict, NotFound, Unreadable
from domain.kernel import Decider, Event, Recorded, UnknownEvent
from domain.process.commands import NoteDeath, StartProcess, StopProcess
from domain.process.events import ProcessFoundDead, ProcessStarted, ProcessStopped
from domain.state import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    lock_key: int
    version: str
    started_at: datetime
    stopped: bool = False
    found_dead: bool = False
    """Once, though it may have come back since: whether it lives, its lock says."""
    readable: bool = True


PROCESSES: Final = Kind[str, Process]("process")

ProcessCommand = StartProcess | StopProcess | NoteDeath


def decide(command: ProcessCommand, process: Process | None, now: datetime) -> Iterator[Event]:
    match command, process:
        case _, Process(readable=False):
            raise Unreadable
        case StartProcess(), None:
            yield ProcessStarted(lock_key=command.lock_key, version=command.version)
        case StartProcess(), Process() if process.stopped or process.lock_key != command.lock_key:
            raise Conflict(f"Process {command.process_id} has been started before")
        case StopProcess() | NoteDeath(), None:
            raise NotFound(f"There is no process {command.process_id}")
        case StopProcess(), Process(stopped=False):
            yield ProcessStopped()
        case NoteDeath(), Process(stopped=False, found_dead=False):
            yield ProcessFoundDead(open_completions=command.open_completions)


def evolve(process: Process | None, recorded: Recorded[Any]) -> Process | None:
    match recorded.event, process:
        case ProcessStarted(lock_key=lock_key, version=version), None:
            return Process(lock_key=lock_key, version=version, started_at=recorded.at)
        case ProcessStopped(), Process():
            return replace(process, stopped=True)
        case ProcessFoundDead(), Process():
            return replace(process, found_dead=True)
        case UnknownEvent(), Process():
            return replace(process, readable=False)
    return process


decider = Decider[Process](
    category="process",
    identity="process_id",
    kind=PROCESSES,
    commands=(StartProcess, StopProcess, NoteDeath),
    events=(ProcessStarted, ProcessStopped, ProcessFoundDead),
    decide=decide,
    evolve=evolve,
)
