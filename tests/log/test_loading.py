"""Streams that aren't resident: read when a command names them, kept in step with the log, and forgotten again."""

import asyncio

import pytest

from adapters.log.postgres_log import PostgresLog
from adapters.log.replica import LOADED
from application.ports import Idempotency
from domain.completion.completion import OPEN_COMPLETIONS, Status
from domain.errors import NotFound, Unavailable
from tests.log.completions import admission, admit, furnish, settle, settlement
from tests.log.conftest import OpenLog
from tests.log.database import sound
from tests.log.tally import count, piling_up


async def test_a_settled_completion_is_settled_again_without_a_word(log: PostgresLog, database_url: str) -> None:
    await furnish(log)
    asked = admission()
    await admit(log, asked)
    first, second, third = [await settle(log, asked) for _ in range(3)]
    assert [len(each.events) for each in (first, second, third)] == [1, 0, 0]
    assert (second.version, second.state.status) == (2, Status.SETTLED)
    assert sum(row.topic == "completion.settled.v1" for row in sound(database_url)) == 1
    assert log.view.get(OPEN_COMPLETIONS, asked.completion_id) is None


async def test_two_settlements_in_one_batch_are_one(log: PostgresLog, database_url: str) -> None:
    await furnish(log)
    asked = admission()
    await admit(log, asked)
    async with piling_up(log):
        settling = asyncio.gather(settle(log, asked), settle(log, asked))
    assert sorted(len(each.events) for each in await settling) == [0, 1]
    sound(database_url)


async def test_what_nobody_admitted_is_not_settled(log: PostgresLog) -> None:
    await furnish(log)
    for _ in range(2):
        with pytest.raises(NotFound):
            await settle(log, admission())


async def test_the_tail_is_folded_over_what_was_loaded(log: PostgresLog, open_log: OpenLog, database_url: str) -> None:
    await furnish(log)
    other, asked = await open_log(), admission()
    with pytest.raises(NotFound):
        await settle(log, asked)
    await admit(other, asked)
    assert len((await settle(log, asked)).events) == 1
    assert len((await settle(other, asked)).events) == 0
    sound(database_url)


async def test_a_stream_too_long_to_be_loaded_is_refused_at_once_and_holds_nobody_up(
    log: PostgresLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(log)
    asked = admission()
    await admit(log, asked)
    await settle(log, asked)
    monkeypatch.setattr("adapters.log.writer.LOAD_EVENTS_MAX", 1)
    async with piling_up(log):
        answering = asyncio.gather(settle(log, asked), count(log, "a"), return_exceptions=True)
    refused, counted = await answering
    assert isinstance(refused, Unavailable)
    assert "more than 1 events" in refused.message
    assert not isinstance(counted, BaseException)


async def test_what_does_not_fit_one_load_comes_with_the_next(log: PostgresLog, monkeypatch: pytest.MonkeyPatch) -> None:
    await furnish(log)
    several = [admission() for _ in range(5)]
    for asked in several:
        await admit(log, asked)
        await settle(log, asked)
    monkeypatch.setattr("adapters.log.writer.LOAD_EVENTS_MAX", 3)
    async with piling_up(log):
        settling = asyncio.gather(*(settle(log, asked) for asked in several))
    assert [len(each.events) for each in await settling] == [0] * 5


async def test_the_youngest_loaded_streams_are_kept(log: PostgresLog, monkeypatch: pytest.MonkeyPatch) -> None:
    await furnish(log)
    monkeypatch.setattr("adapters.log.replica.LOADED_MAX", 2)
    several = [admission() for _ in range(4)]
    for asked in several:
        with pytest.raises(NotFound):
            await settle(log, asked)
    assert [stream for stream, _ in log.view.items(LOADED)] == [f"main/completion/{asked.completion_id}" for asked in several[2:]]


async def test_a_repeat_whose_run_ended_in_the_same_batch_is_answered(log: PostgresLog) -> None:
    await furnish(log)
    asked, once = admission(), Idempotency(key=b"k", digest=b"d")
    await admit(log, asked)
    async with piling_up(log):
        twice = [log.submit(settlement(asked), by="key:k", correlation_id="c", idempotency=once) for _ in range(2)]
        settling = asyncio.gather(*twice)
    first, again = await settling
    assert (first.repeated, again.repeated) == (False, True)
    assert list(first.events) == list(again.events)
