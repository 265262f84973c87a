"""Processes that are kept running, with children of a few lines: what is said, what is counted, when it is given up."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from entrypoints import supervising
from entrypoints.problems import StartFailed
from entrypoints.stopping import Stop
from entrypoints.supervising import Crew, Kind
from tests.journeys.gateways import until

UP = 'import os, sys; os.write(1, b"{}\\n"); '
STOPS = UP + "os.read(0, 1)"
HURRIES = UP + "\nwhile os.read(0, 1) not in (b'h', b''): pass"
WAIT_S = 10.0


@dataclass
class Ends:
    """Which numbers have ended."""

    numbers: list[int] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)

    def __call__(self, number: int, pid: int) -> None:
        self.numbers.append(number)
        self.pids.append(pid)


def kind(program: str, ends: Ends, count: int = 1) -> Kind:
    return Kind(name="thing", count=count, command=("-c", program), environ=dict(os.environ), on_end=ends)


@asynccontextmanager
async def kept(crew: Crew) -> AsyncIterator[Stop]:
    stop = Stop()
    stop.started = True
    async with asyncio.TaskGroup() as group:
        crew.begin(group)
        await crew.up()
        yield stop
        await crew.end(stop, WAIT_S)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "RESTART_S_MIN", 0.01)
    monkeypatch.setattr(supervising, "HURRY_S_MAX", 0.3)


async def test_all_are_told_to_stop_and_awaited() -> None:
    ends = Ends()
    async with kept(Crew(kind(STOPS, ends, count=3))):
        pass
    assert sorted(ends.numbers) == [0, 1, 2]


async def test_one_that_dies_is_started_again_and_the_others_are_left_alone() -> None:
    ends = Ends()
    crew = Crew(kind(STOPS, ends, count=2))
    async with kept(crew):
        first = {child.process.pid for child in crew._children}
        victim = min(first)
        os.kill(victim, 9)
        await until(lambda: len({child.process.pid for child in crew._children} - {victim}) == 2)
        assert len({child.process.pid for child in crew._children} & first) == 1
    assert ends.pids[0] == victim


async def test_a_kind_that_never_starts_is_given_up_with_its_reason(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    program = (
        f"import os; open({str(tries)!r}, 'a').write('x'); os.write(1, b'{{\"failed\": \"there is no moon\"}}\\n'); raise SystemExit(1)"
    )
    with pytest.raises(ExceptionGroup) as failed:
        async with kept(Crew(kind(program, Ends()))):
            pass
    (reason,) = failed.value.exceptions
    assert isinstance(reason, StartFailed)
    assert str(reason) == "thing-1 does not start: there is no moon"
    assert len(tries.read_text()) == supervising.START_FAILURES_MAX


async def test_one_that_has_been_up_is_tried_for_ever(tmp_path: Path) -> None:
    """Up at the first and the ninth start, and failing in between."""
    tries = tmp_path / "tries"
    tries.touch()
    program = (
        f"import os\nwith open({str(tries)!r}, 'r+') as file:\n    count = len(file.read()); file.write('x')\n"
        f"if count not in (0, 8): raise SystemExit(3)\n{UP}\nif count: os.read(0, 1)"
    )
    async with kept(Crew(kind(program, Ends()))):
        await until(lambda: len(tries.read_text()) == 9)


async def test_one_that_does_not_listen_is_hurried_and_then_killed() -> None:
    ends, program = Ends(), UP + "import time; time.sleep(60)"
    crew = Crew(kind(program, ends))
    async with asyncio.TaskGroup() as group:
        crew.begin(group)
        await crew.up()
        stop = Stop()
        stop.started = True
        async with asyncio.timeout(WAIT_S):
            await crew.end(stop, within_s=0.1)
    assert ends.numbers == [0]


async def test_a_hurry_cuts_the_waiting_short() -> None:
    crew = Crew(kind(HURRIES, Ends()))
    async with kept(crew) as stop:
        asyncio.get_running_loop().call_later(0.1, stop.hurry)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < WAIT_S / 2


async def test_a_start_that_is_cancelled_leaves_nobody() -> None:
    ends = Ends()
    crew = Crew(kind("import time; time.sleep(60)", ends, count=2))

    async def start() -> None:
        async with kept(crew):
            pass

    starting = asyncio.create_task(start())
    await until(lambda: len(crew._children) == 2)
    pids = [child.process.pid for child in crew._children]
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
