"""A database that is restarted, that crashes, and that comes back as it was before."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from adapters.log.postgres_log import DOUBT_WAIT_S, PostgresLog
from application.ports import Committed
from domain.errors import Unavailable
from tests.log.conftest import OpenLog
from tests.log.database import sound, stored
from tests.log.server import Server, own_server
from tests.log.tally import TALLIES, Tally, count

CLIENTS = 8
WAIT_S = 0.5
"""In place of SUBMIT_WAIT_S, so that a server is away for longer in less time."""
SLACK_S = 1.0
"""For a machine that has other things to do."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


class Load:
    """Clients that count, one request after another, and note what each is told."""

    def __init__(self, log: PostgresLog, name: str) -> None:
        self.told: dict[str, Committed | Unavailable] = {}
        self.waited_s: dict[str, float] = {}
        self._stopping = False
        self._clients = [asyncio.create_task(self._client(log, f"{name}-{number}")) for number in range(CLIENTS)]

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._clients)

    @property
    def refused(self) -> set[str]:
        """Those that were told that nothing happened."""
        return {request for request, answer in self.told.items() if type(answer) is Unavailable}

    @property
    def committed(self) -> dict[str, int]:
        return {request: answer.position for request, answer in self.told.items() if isinstance(answer, Committed)}

    async def _client(self, log: PostgresLog, name: str) -> None:
        number = 0
        while not self._stopping:
            request, began = f"{name}-{number}", time.monotonic()
            try:
                self.told[request] = await count(log, "a", correlation_id=request)
            except Unavailable as away:
                self.told[request] = away
            self.waited_s[request] = time.monotonic() - began
            number += 1


RESTARTS: dict[str, Callable[[Server], None]] = {"stopped in order": Server.stop, "killed": Server.kill}


@pytest.mark.parametrize("end", RESTARTS.values(), ids=RESTARTS.keys())
async def test_under_load_a_server_is_restarted(
    open_log: OpenLog, server: Server, end: Callable[[Server], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.log.postgres_log.SUBMIT_WAIT_S", WAIT_S)
    log = await open_log(server.url, batch_max=CLIENTS // 2)
    load = Load(log, end.__name__)
    await asyncio.sleep(0.3)
    before = len(load.committed)
    await asyncio.to_thread(end, server)
    await asyncio.sleep(WAIT_S)
    assert log.ready() is not None
    await asyncio.to_thread(server.start)
    returned = len(load.committed)
    await until(lambda: len(load.committed) >= returned + 100)
    await load.stop()

    assert before > 0
    assert log.ready() is None
    # Only those whose batch was cut at its commit waited longer: for the truth.
    assert sum(waited_s > WAIT_S + SLACK_S for waited_s in load.waited_s.values()) <= CLIENTS
    assert max(load.waited_s.values()) < DOUBT_WAIT_S + SLACK_S
    requests = Counter(row.correlation_id for row in sound(server.url))
    assert set(requests.values()) == {1}
    assert load.committed.keys() <= requests.keys()
    assert load.refused
    assert not load.refused & requests.keys()


async def test_a_log_that_lost_its_end_is_noticed_once_and_read_again(open_log: OpenLog, server: Server) -> None:
    logs = [await open_log(server.url) for _ in range(2)]
    for number in range(20):
        await count(logs[number % 2], "a")
    kept = len(stored(server.url))
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.copy)
    await asyncio.to_thread(server.start)
    for number in range(30):
        await count(logs[number % 2], "a")
    for log in logs:
        await log.catch_up()
        assert log.position == kept + 30

    watching = asyncio.create_task(never_empty(logs))
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.put_copy_in_place)
    await asyncio.to_thread(server.start)
    await until(lambda: all(log.position == kept + 1 and log.ready() is None for log in logs))
    await asyncio.sleep(0.3)

    rows = sound(server.url)
    assert [row.topic for row in rows[kept:]] == ["rewind.noticed.v1"]
    assert rows[-1].stream.startswith(f"main/rewind/{kept + 30}-")
    total = sum(row.stream == "main/tally/a" for row in rows)
    assert [log.view.get(TALLIES, "a") for log in logs] == [Tally(total=total)] * 2
    for log in logs:
        await count(log, "a")
    assert len(sound(server.url)) == kept + 3
    watching.cancel()
    await asyncio.wait([watching])
    assert watching.cancelled()


async def never_empty(logs: list[PostgresLog]) -> None:
    while True:
        assert all(log.view.get(TALLIES, "a") is not None for log in logs)
        await asyncio.sleep(0.001)


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s
        await asyncio.sleep(0.01)
