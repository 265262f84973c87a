"""Commands that wait to be decided: the bounded queue between those who ask and the writer's thread."""

import os
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from application.ports import Committed, Idempotency
from domain.errors import Unavailable
from domain.kernel import Command, Decider, Sought

QUEUE_MAX: Final = 10_000
ADMINISTRATION_SHARE: Final = 16
"""One in so many of a batch is kept for administration: under overload, too, a key can be revoked."""

Outcome = Committed | BaseException


@dataclass(slots=True, eq=False, kw_only=True)
class Work:
    """One submitted command, and the future that its caller awaits."""

    command: Command
    decider: Decider[Any]
    stream: str
    by: str
    correlation_id: str
    causation_id: str | None
    expected_version: int | None
    idempotency: Idempotency | None
    loop: AbstractEventLoop
    done: Future[Committed]
    then: "Work | None" = None
    """Decided right after it, in the same batch, if it is recorded. Not in the queue, and nobody waits for it."""
    deaths: int = 0
    """How often a batch that it was in died."""
    _claim: dict[str, str] = field(default_factory=dict)

    def claim(self, by: Literal["writer", "caller"]) -> bool:
        """True for one of them only: the writer that is about to decide it, or the caller that gives up. (`setdefault` is atomic.)"""
        return self._claim.setdefault("by", by) == by

    def release(self) -> None:
        """The writer has not decided it after all. A caller's claim stays."""
        if self._claim.get("by") == "writer":
            self._claim.clear()

    @property
    def seeks(self) -> list[Sought]:
        """What deciding it needs to know of."""
        commands = (self.command,) if self.then is None else (self.command, self.then.command)
        return [sought for command in commands if (sought := command.seeks) is not None]

    @property
    def abandoned(self) -> bool:
        """Its caller gave up, and has been told so."""
        return self.done.done()


class Queue:
    """Inference goes before administration. Filled from event loops, emptied by the writer's thread."""

    def __init__(self) -> None:
        self._inference: deque[Work] = deque()
        self._administration: deque[Work] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._sleeping = False
        self._woken = False

    def __len__(self) -> int:
        return len(self._inference) + len(self._administration)

    def put(self, work: Work) -> None:
        if len(self) >= QUEUE_MAX:
            raise Unavailable("Too many requests are waiting for the log")
        self._lane(work).append(work)
        self.wake()

    def put_back(self, works: Iterable[Work]) -> None:
        """To the front, in their order: they have waited longest."""
        for work in reversed(list(works)):
            work.release()
            self._lane(work).appendleft(work)

    def take(self, count: int, deaths_max: int) -> list[Work]:
        """The next works. One that died `deaths_max` times comes alone, so that it can't take others with it."""
        taken: list[Work] = []
        kept = min(len(self._administration), count // ADMINISTRATION_SHARE)
        for lane, room in ((self._inference, count - kept), (self._administration, count)):
            while lane and len(taken) < room:
                alone = lane[0].deaths >= deaths_max
                if alone and taken:
                    return taken
                taken.append(lane.popleft())
                if alone:
                    return taken
        return taken

    def drop_abandoned(self) -> None:
        """From the front, where those are that have waited longest."""
        for lane in (self._inference, self._administration):
            while lane and lane[0].abandoned:
                lane.popleft()

    def wake(self) -> None:
        """Also for what isn't in the queue. Noted before looking, so that it is heard by a writer just about to fall asleep."""
        self._woken = True
        if self._sleeping:
            os.eventfd_write(self._wake, 1)

    @property
    def wake_fd(self) -> int:
        return self._wake

    def fall_asleep(self) -> bool:
        """False when something waits already. Announced before looking, so that no `wake` goes unheard."""
        self._sleeping = True
        return not (self._woken or len(self))

    def awake(self) -> None:
        self._sleeping = self._woken = False
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def close(self) -> None:
        os.close(self._wake)

    def _lane(self, work: Work) -> deque[Work]:
        return self._inference if work.decider.category == "completion" else self._administration


def answer(outcomes: Iterable[tuple[Work, Outcome]]) -> None:
    """Wake the callers: one call into each event loop for the whole batch."""
    by_loop: dict[AbstractEventLoop, list[tuple[Work, Outcome]]] = {}
    for work, outcome in outcomes:
        by_loop.setdefault(work.loop, []).append((work, outcome))
    for loop, answered in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, answered)


def _resolve(answered: list[tuple[Work, Outcome]]) -> None:
    for work, outcome in answered:
        if work.done.done():
            continue
        if isinstance(outcome, BaseException):
            work.done.set_exception(outcome)
        else:
            work.done.set_result(outcome)
