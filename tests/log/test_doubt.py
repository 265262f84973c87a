"""Connections that break around COMMIT: each command happens exactly once, and every caller is told the truth."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from adapters.log.connection import write
from adapters.log.postgres_log import PostgresLog
from application.ports import Committed, Idempotency
from domain.errors import Conflict, Unavailable, Unconfirmed
from tests.log.conftest import OpenLog
from tests.log.database import correlations, sound, stored
from tests.log.proxy import Cut, Proxy, proxied
from tests.log.tally import TALLIES, Count, Tally, count


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with proxied(database_url) as proxy:
        yield proxy


async def some(log: PostgresLog, name: str, number: int) -> list[Any]:
    return await asyncio.gather(*(count(log, "a", correlation_id=f"{name}{n}") for n in range(number)), return_exceptions=True)


def impatient(monkeypatch: pytest.MonkeyPatch, *, submit_s: float, doubt_s: float) -> None:
    monkeypatch.setattr("adapters.log.postgres_log.SUBMIT_WAIT_S", submit_s)
    monkeypatch.setattr("adapters.log.postgres_log.DOUBT_WAIT_S", doubt_s)


@pytest.mark.parametrize("cut", ["before", "after", "swallow"])
async def test_a_batch_cut_at_its_commit_happens_exactly_once(
    open_log: OpenLog, proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch, cut: Cut
) -> None:
    monkeypatch.setattr("adapters.log.connection.ANSWER_WAIT_S", 0.5)
    log = await open_log(proxy.url)
    await count(log, "a")
    for round_ in range(3):
        proxy.cut = cut
        answers = await some(log, f"r{round_}-", 20)
        assert proxy.cut is None
        assert all(isinstance(answer, Committed) for answer in answers)
        told = {answer.events[0].position: answer.events[0].correlation_id for answer in answers}
        assert told.items() <= {row.position: row.correlation_id for row in stored(database_url)}.items()
        assert log.view.get(TALLIES, "a") == Tally(total=1 + 20 * (round_ + 1))
    assert set(correlations(database_url).values()) == {1}
    assert log.writer.measures.doubts == 3


async def test_an_error_that_comes_after_the_commit_repeats_nothing(
    log: PostgresLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an administrator ends the session then: the server's last word is an error, and the connection still seems open."""

    def writing(*arguments: Any) -> None:
        write(*arguments)
        monkeypatch.undo()
        raise failures.pop()

    failures: list[Exception] = [psycopg.errors.AdminShutdown(), RuntimeError()]
    while failures:
        monkeypatch.setattr("adapters.log.writer.write", writing)
        assert all(isinstance(answer, Committed) for answer in await some(log, f"r{len(failures)}-", 10))
    assert set(correlations(database_url).values()) == {1}
    assert log.writer.measures.doubts == 2


async def test_refusals_and_repeats_of_a_batch_in_doubt_are_answered_too(open_log: OpenLog, proxy: Proxy, database_url: str) -> None:
    once = Idempotency(key=b"k", digest=b"d")
    for cut in ("before", "after"):
        log = await open_log(proxy.url)
        await count(log, cut)
        proxy.cut = cut
        answers: Any = await asyncio.gather(
            log.submit(Count(tally_id=cut), by="key:k", correlation_id="1", idempotency=Idempotency(key=cut.encode(), digest=b"d")),
            log.submit(Count(tally_id=cut, limit=0), by="key:k", correlation_id="2"),
            log.submit(Count(tally_id=cut), by="key:k", correlation_id="3", idempotency=Idempotency(key=cut.encode(), digest=b"d")),
            log.submit(Count(tally_id=cut, fault="bug"), by="key:k", correlation_id="4"),
            log.submit(Count(tally_id=cut, events=0), by="key:k", correlation_id="5", idempotency=once),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [Committed, Conflict, Committed, ZeroDivisionError, Committed]
        assert answers[2].repeated
        assert list(answers[2].events) == list(answers[0].events)
        assert log.view.get(TALLIES, cut) == Tally(total=2)
    assert len(sound(database_url)) == 4


async def test_a_caller_is_not_told_no_while_its_batch_is_in_doubt(
    open_log: OpenLog, proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_log(proxy.url)
    impatient(monkeypatch, submit_s=0.2, doubt_s=5.0)
    await count(log, "a")
    proxy.cut = "after"
    asked = asyncio.create_task(count(log, "a"))
    await proxy.cutting()
    proxy.refuse()
    await asyncio.sleep(0.6)
    assert not asked.done()
    proxy.reachable = True
    assert (await asked).events[0].position == 2
    assert len(sound(database_url)) == 2


async def test_a_doubt_that_lasts_is_said_and_nothing_happens_twice(
    open_log: OpenLog, proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_log(proxy.url)
    impatient(monkeypatch, submit_s=0.2, doubt_s=0.4)
    happens: dict[Cut, int] = {"before": 0, "after": 1}
    for cut, happened in happens.items():
        before = len(stored(database_url))
        proxy.cut = cut
        asked = asyncio.create_task(count(log, "a"))
        await proxy.cutting()
        proxy.refuse()
        with pytest.raises(Unconfirmed):
            await asked
        proxy.reachable = True
        await asyncio.sleep(0.4)
        await log.catch_up()
        assert len(sound(database_url)) == before + happened


async def test_while_the_database_is_away_callers_are_told_so_and_nothing_of_it_happens_later(
    open_log: OpenLog, proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_log(proxy.url)
    impatient(monkeypatch, submit_s=0.3, doubt_s=5.0)
    proxy.refuse()
    await asyncio.sleep(0.1)
    began = time.monotonic()
    answers = await some(log, "away", 10)
    assert time.monotonic() - began < 1.0
    assert all(isinstance(answer, Unavailable) for answer in answers)
    proxy.reachable = True
    await asyncio.sleep(0.4)
    assert all(isinstance(answer, Committed) for answer in await some(log, "back", 10))
    assert set(correlations(database_url)) == {f"back{n}" for n in range(10)}


async def test_a_short_absence_is_waited_out(open_log: OpenLog, proxy: Proxy, database_url: str) -> None:
    log = await open_log(proxy.url)
    proxy.refuse()
    asked = asyncio.create_task(some(log, "short", 10))
    await asyncio.sleep(0.5)
    proxy.reachable = True
    assert all(isinstance(answer, Committed) for answer in await asked)
    assert len(sound(database_url)) == 10
