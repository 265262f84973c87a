"""How a process learns what others appended: by notification, by the poll behind it, and when somebody asks."""

import asyncio
import os
import time
from typing import Any

import pytest

from adapters.log import replica
from adapters.log.postgres_log import PostgresLog
from domain.errors import Unavailable
from tests.log.conftest import OpenLog
from tests.log.proxy import proxied
from tests.log.tally import TALLIES, Tally, count

SLACK_S = 0.3
"""For a machine that has other things to do."""


async def seen(log: PostgresLog, total: int, within_s: float) -> float:
    """The seconds until the log's view has it."""
    began = time.monotonic()
    while log.view.get(TALLIES, "a") != Tally(total=total):
        assert time.monotonic() - began < within_s
        await asyncio.sleep(0.001)
    return time.monotonic() - began


async def test_a_follower_sees_what_another_appended_within_milliseconds(log: PostgresLog, open_log: OpenLog) -> None:
    follower, delays = await open_log(), []
    for total in range(1, 11):
        await count(log, "a")
        delays.append(await seen(follower, total, 0.2 + SLACK_S))
    assert sorted(delays)[5] < 0.02


async def test_when_the_notification_is_lost_the_poll_finds_it(
    log: PostgresLog, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.log.statements.NOTIFY", "SELECT pg_notify('elsewhere', %s)")
    follower = await open_log()
    await count(log, "a")
    assert await seen(follower, 1, 0.2 + SLACK_S) > 0.005


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the tail was read without the lock."""
    at: list[float] = []
    tail_after = replica.tail_after

    def counted(*arguments: Any) -> Any:
        at.append(time.monotonic())
        return tail_after(*arguments)

    monkeypatch.setattr(replica, "tail_after", counted)
    return at


async def test_catching_up_sees_all_that_was_committed_before(log: PostgresLog, open_log: OpenLog) -> None:
    follower = await open_log()
    for total in range(1, 21):
        await count(log, "a")
        await follower.catch_up()
        assert follower.view.get(TALLIES, "a") == Tally(total=total)


async def test_all_who_catch_up_share_fifty_reads_a_second(log: PostgresLog, reads: list[float]) -> None:
    waits: list[float] = []

    async def stranger() -> None:
        """Asks for a key that doesn't exist, over and over."""
        while time.monotonic() < until:
            began = time.monotonic()
            await log.catch_up()
            waits.append(time.monotonic() - began)

    until = time.monotonic() + 1.0
    reads.clear()
    await asyncio.gather(*(stranger() for _ in range(200)))
    assert 10 <= len(reads) <= 60
    assert len(waits) >= 1_000
    assert sorted(waits)[len(waits) // 2] < 0.05


async def test_a_storm_of_unknown_keys_does_not_slow_batches(log: PostgresLog) -> None:
    async def rate(seconds: float) -> float:
        done, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            await count(log, "a")
            done += 1
        return done / seconds

    async def stranger() -> None:
        while not quiet.is_set():
            await log.catch_up()

    quiet = asyncio.Event()
    await rate(0.2)
    alone = await rate(0.5)
    strangers = [asyncio.create_task(stranger()) for _ in range(100)]
    stormy = max([await rate(0.5) for _ in range(2)])
    quiet.set()
    await asyncio.gather(*strangers)
    assert stormy > 0.4 * alone


async def test_catching_up_with_a_database_that_is_away_ends(open_log: OpenLog, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.log.postgres_log.SUBMIT_WAIT_S", 0.3)
    with proxied(database_url) as proxy:
        log = await open_log(proxy.url)
        proxy.refuse()
        with pytest.raises(Unavailable):
            await log.catch_up()
        await asyncio.sleep(0.1)
        assert log.ready() == "the log can't be reached"
        proxy.reachable = True
        await asyncio.sleep(0.3)
        await log.catch_up()
        assert log.ready() is None


async def test_a_file_descriptor_beyond_a_thousand_is_no_obstacle(log: PostgresLog, open_log: OpenLog) -> None:
    """A process with hundreds of streams reconnects to its database."""

    kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        high = await open_log()
        await count(log, "a")
        await seen(high, 1, 0.2 + SLACK_S)
        await count(high, "a")
    finally:
        for descriptor in kept:
            os.close(descriptor)
