"""Settlements: what was admitted is settled, whatever happens to the client, the provider or the log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from application.ports import Committed, Log
from domain.completion.commands import SettleCompletion
from domain.completion.events import CompletionAdmitted
from domain.errors import NotFound, Unavailable

SETTLING_MAX: Final = 10_000
"""Settlements that wait for the log; beyond it nothing new is admitted."""
PAUSE_S_MIN: Final = 0.1
PAUSE_S_MAX: Final = 5.0

log = logging.getLogger(__name__)

Ask = Callable[[], Awaitable[Committed]]


class UnderWay(Protocol):
    """A completion from before it is admitted until its settlement is recorded."""

    @property
    def admitted(self) -> CompletionAdmitted | None: ...

    @property
    def by(self) -> str: ...

    @property
    def correlation_id(self) -> str: ...


class Runs:
    """The completions under way in this process, each in a task that no client can cancel."""

    __slots__ = ("draining", "settling", "tasks", "under_way")

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.under_way: dict[str, UnderWay] = {}
        """By the completion's id: what is entered again, should the log lose it."""
        self.settling = 0
        self.draining = False
        """The process is told to stop: it is not ready, and still takes what comes."""

    def begin(self, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(run)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    @property
    def full(self) -> bool:
        return self.settling >= SETTLING_MAX

    async def drained(self, within_s: float) -> int:
        """Waits for all to end; returns how many have not."""
        return len((await asyncio.wait(self.tasks, timeout=within_s))[1]) if self.tasks else 0


async def settle(recorder: Log, runs: Runs, command: SettleCompletion, *, by: str, correlation_id: str) -> Committed:
    """Asks until it is recorded, whatever else it is answered with: a settlement is never dropped.

    A log that doesn't know the completion was rewound: its admission is about to be entered again.
    """
    ask = partial(recorder.submit, command, by=by, correlation_id=correlation_id)
    return await _until_recorded(runs, correlation_id, ask)


async def settle_if_admitted(recorder: Log, runs: Runs, command: SettleCompletion, *, by: str, correlation_id: str) -> None:
    """Nobody could say whether it was admitted; once the log answers, it is clear."""
    with suppress(NotFound):
        ask = partial(recorder.submit, command, by=by, correlation_id=correlation_id)
        await _until_recorded(runs, correlation_id, ask, but_for=NotFound)


async def until_answered(ask: Ask) -> Committed:
    """Asks while the log is away, ever more slowly. Raises whatever else it is answered with."""
    pause_s = PAUSE_S_MIN
    while True:
        try:
            return await ask()
        except Unavailable:
            await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)


async def _until_recorded(runs: Runs, request_id: str, ask: Ask, *, but_for: type[Exception] = Unavailable) -> Committed:
    async def ask_again() -> Committed:
        try:
            return await ask()
        except (Unavailable, but_for):
            raise
        except Exception as error:  # the money is spent: it must be recorded once the fault is mended
            log.error("settling failed with %s; it will be tried again", type(error).__name__, extra={"request_id": request_id})  # noqa: TRY400
            raise Unavailable from error

    runs.settling += 1
    try:
        return await until_answered(ask_again)
    finally:
        runs.settling -= 1
