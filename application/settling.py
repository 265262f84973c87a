"""Settlements: what was admitted is settled, whatever happens to the client, the provider or the log."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from application.ports import Committed, Log
from domain.completion.commands import SettleCompletion
from domain.errors import Unavailable

SETTLING_MAX: Final = 10_000
"""Settlements that wait for the log; beyond it nothing new is admitted."""
PAUSE_S_MIN: Final = 0.1
PAUSE_S_MAX: Final = 5.0

log = logging.getLogger(__name__)


class Runs:
    """The completions under way in this process, each in a task that no client can cancel."""

    __slots__ = ("draining", "settling", "tasks")

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
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
    """Asks until it is recorded, ever more slowly: a settlement is never dropped."""
    pause_s = PAUSE_S_MIN
    runs.settling += 1
    try:
        while True:
            try:
                return await recorder.submit(command, by=by, correlation_id=correlation_id)
            except Unavailable:
                pass  # the log is away
            except Exception as error:  # noqa: BLE001 (the money is spent: it must be recorded once the fault is mended)
                log.error("settling failed with %s; it will be tried again", type(error).__name__, extra={"request_id": correlation_id})  # noqa: TRY400
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
    finally:
        runs.settling -= 1
