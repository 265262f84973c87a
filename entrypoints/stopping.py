"""Being told to stop: by signals, or by the process that started this one."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
STOP: Final = b"s"
HURRY: Final = b"h"
"""What a process hears on its leash, its standard input."""
LEASH_READ_BYTES: Final = 64


class Stop:
    """Asked to stop, it ends in order; asked to hurry, it waits for nobody. While the process starts, being asked cancels that."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.started = False
        self.abandoned = False
        """Whoever started this process is gone."""
        self._task = asyncio.current_task()

    def ask(self) -> None:
        if not (self.asked.is_set() or self.started) and self._task is not None:
            self._task.cancel()
        self.asked.set()

    def hurry(self) -> None:
        self.ask()
        self.hurried.set()

    async def unless_hurried(self, wait: Coroutine[Any, Any, object]) -> None:
        both = [asyncio.ensure_future(wait), asyncio.ensure_future(self.hurried.wait())]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            each.cancel()


def on_signals() -> Stop:
    """The first signal asks to stop, the next one to hurry."""
    stop = Stop()

    def heard() -> None:
        (stop.hurry if stop.asked.is_set() else stop.ask)()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, heard)
    return stop


def on_leash() -> Stop:
    """For a process that another one started. That one alone may hurry it: whoever signals all of a group signals both of them, and two
    askings must not make a hurry. The end of the leash is the end of that process."""
    stop, loop, leash = Stop(), asyncio.get_running_loop(), sys.stdin.fileno()

    def heard() -> None:
        said = os.read(leash, LEASH_READ_BYTES)
        stop.abandoned = not said
        (stop.hurry if HURRY in said else stop.ask)()
        if stop.abandoned:
            loop.remove_reader(leash)

    loop.add_reader(leash, heard)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.ask)
    return stop
