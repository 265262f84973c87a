"""The rules of a process."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from domain.errors import Conflict, NotFound, Unreadable
from domain.kernel import Decider, Event, Recorded, UnknownEvent
from domain.process.commands import StartProcess, StopProcess
from domain.process.events import ProcessStarted, ProcessStopped
from domain.state import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    lock_key: int
    version: str
    started_at: datetime
    stopped: bool = False
    readable: bool = True


PROCESSES: Final = Kind[str, Process]("process")

ProcessCommand = StartProcess | StopProcess


def decide(command: ProcessCommand, process: Process | None, now: datetime) -> Iterator[Event]:
    match command, process:
        case _, Process(readable=False):
            raise Unreadable
        case StartProcess(), None:
            yield ProcessStarted(lock_key=command.lock_key, version=command.version)
        case StartProcess(), Process() if process.stopped or process.lock_key != command.lock_key:
            raise Conflict(f"Process {command.process_id} has been started before")
        case StopProcess(), None:
            raise NotFound(f"There is no process {command.process_id}")
        case StopProcess(), Process(stopped=False):
            yield ProcessStopped()


def evolve(process: Process | None, recorded: Recorded[Any]) -> Process | None:
    match recorded.event, process:
        case ProcessStarted(lock_key=lock_key, version=version), None:
            return Process(lock_key=lock_key, version=version, started_at=recorded.at)
        case ProcessStopped(), Process():
            return replace(process, stopped=True)
        case UnknownEvent(), Process():
            return replace(process, readable=False)
    return process


decider = Decider[Process](
    category="process",
    identity="process_id",
    kind=PROCESSES,
    commands=(StartProcess, StopProcess),
    events=(ProcessStarted, ProcessStopped),
    decide=decide,
    evolve=evolve,
)
