"""What can happen to a process. Stored: add fields with defaults, never rename or remove."""

from typing import ClassVar

from domain.kernel import Event


class ProcessStarted(Event):
    topic: ClassVar[str] = "process.started.v1"

    lock_key: int
    """The 64-bit key of the advisory lock it holds while it lives."""
    version: str
    """Of the gateway."""


class ProcessStopped(Event):
    """In good order: all its completions are settled."""

    topic: ClassVar[str] = "process.stopped.v1"


class ProcessFoundDead(Event):
    """It let go of its lock without having stopped: what it left open is settled by recovery. It may still come back."""

    topic: ClassVar[str] = "process.found_dead.v1"

    open_completions: int
