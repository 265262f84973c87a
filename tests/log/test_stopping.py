"""Starting and stopping: what was submitted is decided, and neither waits for ever."""

import asyncio
import time

import pytest

from adapters.log.postgres_log import PostgresLog
from application.ports import Committed
from domain.errors import Unavailable, Unconfirmed
from tests.log.conftest import OpenLog
from tests.log.database import correlations
from tests.log.proxy import proxied
from tests.log.tally import count


async def test_what_was_submitted_is_decided_before_the_end(log: PostgresLog, database_url: str) -> None:
    asked = asyncio.gather(*(count(log, "a", correlation_id=f"c{n}") for n in range(2_000)))
    await asyncio.sleep(0)
    await log.stop()
    assert all(isinstance(answer, Committed) for answer in await asked)
    assert len(correlations(database_url)) == 2_000
    assert not log.running


async def test_nothing_is_taken_after_the_end(log: PostgresLog) -> None:
    await log.stop()
    with pytest.raises(Unavailable, match="stopping"):
        await count(log, "a")


async def test_an_idle_log_stops_at_once(log: PostgresLog) -> None:
    await log.catch_up()
    began = time.monotonic()
    await log.stop()
    assert time.monotonic() - began < 0.15


async def test_with_the_database_gone_it_ends_all_the_same_and_tells_everybody(
    open_log: OpenLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.log.postgres_log.STOP_WAIT_S", 0.5)
    with proxied(database_url) as proxy:
        log = await open_log(proxy.url)
        proxy.cut = "after"
        in_doubt = asyncio.gather(count(log, "a"), return_exceptions=True)
        await proxy.cutting()
        proxy.refuse()
        undecided = asyncio.gather(count(log, "a"), count(log, "a"), return_exceptions=True)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await log.stop()
        assert time.monotonic() - began < 1.5
        assert [type(answer) for answer in await in_doubt] == [Unconfirmed]
        assert [type(answer) for answer in await undecided] == [Unavailable] * 2


async def test_a_start_without_a_database_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.log.postgres_log.START_WAIT_S", 0.4)
    monkeypatch.setattr("adapters.log.postgres_log.STOP_WAIT_S", 0.1)
    log = PostgresLog("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(Unavailable, match="could not be read"):
        await log.start()
    assert not log.running
