"""Processes that are kept running: started, watched, started again when they die, and told to stop in order.

A child is on a leash: what is said to it goes down its standard input, and the end of that is the end of whoever started it. What it says,
once, comes up its standard output: a line of JSON. Its log is ours.
"""

import asyncio
import logging
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from entrypoints.problems import StartFailed
from entrypoints.stopping import HURRY, STOP, Stop
from entrypoints.stores import Embedded

RESTART_S_MIN: Final = 0.1
RESTART_S_MAX: Final = 30.0
"""Between a death and the next start: twice as long each time,"""
STEADY_S: Final = 30.0
"""unless it had been well for so long."""
START_FAILURES_MAX: Final = 5
"""Starts of one kind that fail in a row before any has succeeded: then the gateway does not come up at all."""
HURRY_S_MAX: Final = 15.0
"""For who was told to hurry; then it is killed."""
CANCELLED_S_MAX: Final = 5.0
LOOK_S: Final = 0.2
"""Servers have no pipe to us whose end would tell."""

log = logging.getLogger(__name__)

Said = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Processes that are alike."""

    name: str
    count: int
    command: tuple[str, ...]
    """For Python. The child's number, from 1 on, is added."""
    environ: Mapping[str, str]
    descriptors: tuple[int, ...] = ()
    """Open files that are handed down."""
    on_end: Callable[[int, int], None]
    """Told the number and the pid of each that has ended."""


class Life(NamedTuple):
    """How it went for a child."""

    pid: int | None
    end: str
    came_up: bool = False
    in_order: bool = False


class Crew:
    """The processes of one kind, each kept running."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._stopping = asyncio.Event()
        self._children: set[Child] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._up: list[asyncio.Future[Said]] = [asyncio.get_running_loop().create_future() for _ in range(kind.count)]
        self._failures = 0

    def begin(self, group: asyncio.TaskGroup) -> None:
        self._keeping = [group.create_task(self._keep(number)) for number in range(self.kind.count)]

    async def up(self) -> Sequence[Said]:
        """What they said when they came up first, once all have."""
        return await asyncio.gather(*self._up)

    async def end(self, stop: Stop, within_s: float) -> None:
        """In order, or hurried, or at last killed."""
        self._stopping.set()
        self._say(STOP)
        await stop.unless_hurried(asyncio.wait(self._keeping, timeout=within_s))
        self._say(HURRY)
        await asyncio.wait(self._keeping, timeout=HURRY_S_MAX)
        for child in self._children:
            child.kill()
        await asyncio.wait(self._keeping)

    def _say(self, word: bytes) -> None:
        for child in self._children:
            child.say(word)

    async def _keep(self, number: int) -> None:
        name, pause_s = f"{self.kind.name}-{number + 1}", RESTART_S_MIN
        while not self._stopping.is_set():
            began = time.monotonic()
            life = await self._life(number)
            if self._stopping.is_set():
                return
            if not life.came_up:
                self._count_failure(f"{name} does not start: {life.end}")
            well = life.in_order or time.monotonic() - began > STEADY_S
            pause_s = RESTART_S_MIN if well else min(2 * pause_s, RESTART_S_MAX)
            log.warning("%s (pid %s) is gone: %s. Starting it again in %.1f s", name, life.pid, life.end, pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _life(self, number: int) -> "Life":
        """Of one child, from its start to its end."""
        try:
            async with spawned(self.kind, number) as child:
                self._children.add(child)
                if self._stopping.is_set():  # while it was being started
                    child.say(STOP)
                try:
                    said = await child.first_words()
                    if came_up := "failed" not in said:
                        self._came_up(number, said)
                    code = await child.process.wait()
                finally:
                    self._children.discard(child)
        except OSError as problem:
            return Life(None, str(problem))
        self.kind.on_end(number, child.process.pid)
        return Life(child.process.pid, said.get("failed") or ended_by(code), came_up=came_up, in_order=code == 0)

    def _came_up(self, number: int, said: Said) -> None:
        self._failures = 0
        if not self._up[number].done():
            self._up[number].set_result(said)

    def _count_failure(self, message: str) -> None:
        """Once one of its kind has been up, all that a start needs is there: what fails then may be over soon."""
        if any(up.done() for up in self._up):
            return
        self._failures += 1
        if self._failures >= START_FAILURES_MAX:
            raise StartFailed(message)


class Child:
    def __init__(self, process: Process) -> None:
        self.process = process

    async def first_words(self) -> Said:
        """What it says when it is up, or (`failed`) why it is not."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        said: Said = orjson.loads(line) if line.endswith(b"\n") else {"failed": None}
        return said

    def say(self, word: bytes) -> None:
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(word)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()

    async def end(self) -> None:
        """For who does not end by itself."""
        if self.process.returncode is not None:
            return
        self.say(HURRY)
        with suppress(ProcessLookupError):
            self.process.terminate()  # while it starts, it doesn't listen yet
        with suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), CANCELLED_S_MAX)
        self.kill()
        await self.process.wait()


@asynccontextmanager
async def spawned(kind: Kind, number: int) -> AsyncIterator[Child]:
    """A session of its own: the terminal's Ctrl-C is for us, who tell it what to do."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", *kind.command, str(number + 1)),
        stdin=PIPE,
        stdout=PIPE,
        env=dict(kind.environ),
        pass_fds=kind.descriptors,
        start_new_session=True,
    )
    child = Child(process)
    try:
        yield child
    finally:
        await child.end()
        assert process.stdin is not None
        process.stdin.close()


def ended_by(code: int) -> str:
    return f"it ended by itself, with exit code {code}" if code >= 0 else f"it was ended by {signal.Signals(-code).name}"


async def keep_server(server: Embedded) -> None:
    """For ever."""
    pause_s = RESTART_S_MIN
    while True:
        await asyncio.sleep(LOOK_S)
        if not server.is_dead():
            continue
        log.error("%s is gone; starting it again", server.name)
        try:
            await asyncio.to_thread(server.revive)
            pause_s = RESTART_S_MIN
        except Exception as problem:  # noqa: BLE001 (whatever it is, the next try may be better)
            pause_s = min(2 * pause_s, RESTART_S_MAX)
            log.error("%s does not start (%s); trying again in %.1f s", server.name, problem, pause_s)  # noqa: TRY400
            await asyncio.sleep(pause_s)
