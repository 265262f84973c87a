"""How commands share batches: in bounds, in order, and without dying of each other."""

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from adapters.log import replica
from adapters.log.postgres_log import PostgresLog
from adapters.log.work import Queue, Work
from application.ports import Idempotency
from domain.fold import VERSIONS, fold
from domain.ids import Slug
from domain.kernel import Recorded
from domain.state import View
from tests.log import tally
from tests.log.conftest import OpenLog
from tests.log.database import lock_held, sound
from tests.log.tally import Count, count, piling_up


async def together(log: PostgresLog, *commands: Count) -> list[Any]:
    """Submitted while the writer is busy, so that they share the next batch if it has room; `c0`, `c1`, … as correlation ids."""
    asked = (log.submit(command, by="key:k", correlation_id=f"c{number}") for number, command in enumerate(commands))
    async with piling_up(log):
        answers = asyncio.gather(*asked, return_exceptions=True)
    return await answers


def batches(url: str) -> list[list[str]]:
    """The requests of each batch: its events share one time."""
    shared: dict[datetime, list[str]] = {}
    for row in sound(url):
        shared.setdefault(row.at, []).append(row.correlation_id)
    return list(shared.values())


def number(events: int = 1, **fields: Any) -> Count:
    return Count(tally_id=Slug("a"), events=events, **fields)


async def test_a_batch_is_bounded_in_events(log: PostgresLog, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.log.batch.EVENTS_MAX", 3)
    await together(log, *[number(2) for _ in range(5)])
    assert [Counter(batch) for batch in batches(database_url)] == [{"c0": 2, "c1": 2}, {"c2": 2, "c3": 2}, {"c4": 2}]


async def test_a_batch_is_bounded_in_bytes(log: PostgresLog, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.log.batch.BYTES_MAX", 100)
    await together(log, *[number(note="x" * 90) for _ in range(3)])
    assert batches(database_url) == [["c0"], ["c1"], ["c2"]]


async def test_a_batch_is_bounded_in_commands(open_log: OpenLog, database_url: str) -> None:
    await together(await open_log(batch_max=2), *[number() for _ in range(5)])
    assert batches(database_url) == [["c0", "c1"], ["c2", "c3"], ["c4"]]


async def test_who_comes_while_the_writer_waits_for_the_lock_shares_its_batch(log: PostgresLog, database_url: str) -> None:
    """But for repeatable requests: whether they have been done before is looked up first."""
    key = Idempotency(key=b"k" * 32, digest=b"d" * 32)
    await count(log, "a")
    before = log.writer.measures.batches
    with lock_held(database_url):
        first = asyncio.create_task(count(log, "a", correlation_id="c0"))
        await asyncio.sleep(0.05)
        late = [asyncio.create_task(count(log, "a", correlation_id=f"c{number}")) for number in (1, 2)]
        repeatable = asyncio.create_task(log.submit(number(), by="key:k", correlation_id="c3", idempotency=key))
        await asyncio.sleep(0.05)
    await asyncio.gather(first, *late, repeatable)
    assert batches(database_url)[1:] == [["c0", "c1", "c2"], ["c3"]]
    assert log.writer.measures.batches - before == 2
    assert (await log.submit(number(), by="key:k", correlation_id="c4", idempotency=key)).repeated


@pytest.mark.parametrize("limit", [None, 0])
async def test_a_batch_is_bounded_in_time_even_when_all_is_refused(log: PostgresLog, limit: int | None) -> None:
    slow = number(fault="slow", limit=limit)
    before = log.writer.measures.batches
    await together(log, slow, slow, slow)
    assert log.writer.measures.batches - before == 3


@pytest.fixture
def poisonous(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that raises, which none should."""

    def poisoned(view: View, recorded: Recorded[Any]) -> None:
        if getattr(recorded.event, "note", "") == "poison":
            raise RuntimeError(f"secret of {recorded.by}")
        fold(view, recorded)

    monkeypatch.setattr(replica, "fold", poisoned)


async def test_a_batch_that_dies_twice_is_run_one_by_one(
    log: PostgresLog, database_url: str, poisonous: None, caplog: pytest.LogCaptureFixture
) -> None:
    answers = await together(log, number(), number(), number(fault="poison"), number())
    assert [type(answer).__name__ for answer in answers] == ["Committed", "Committed", "RuntimeError", "Committed"]
    assert [row.correlation_id for row in sound(database_url)] == ["c0", "c1", "c3"]
    assert len(batches(database_url)) == 3
    assert log.ready() is None
    assert "secret of key:k" not in caplog.text
    assert any(record.levelno == logging.ERROR for record in caplog.records)


async def test_a_row_that_collides_fails_its_command_and_no_other(log: PostgresLog, database_url: str) -> None:
    """A stream that was wrongly taken for new."""
    await count(log, "taken")
    log.writer.replica.state.put(VERSIONS, "main/tally/taken", None)
    answers = await asyncio.gather(*(count(log, name) for name in ("taken", "fresh", "other")), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["UniqueViolation", "Committed", "Committed"]
    assert len(sound(database_url)) == 3


# The queue


def waiting(name: str, category: str = "tally", deaths: int = 0) -> Work:
    loop = asyncio.get_running_loop()
    return Work(
        command=number(),
        decider=replace(tally.decider, category=category),
        stream=f"main/{category}/{name}",
        by="key:k",
        correlation_id=name,
        causation_id=None,
        expected_version=None,
        idempotency=None,
        loop=loop,
        done=loop.create_future(),
        deaths=deaths,
    )


@pytest.fixture
def queue() -> Any:
    queue = Queue()
    yield queue
    queue.close()


def taken(queue: Queue, most: int) -> str:
    return " ".join(work.correlation_id for work in queue.take(most, deaths_max=2))


async def test_inference_goes_before_administration(queue: Queue) -> None:
    for name, category in (("a1", "budget"), ("i1", "completion"), ("a2", "team"), ("i2", "completion")):
        queue.put(waiting(name, category))
    assert taken(queue, 3) == "i1 i2 a1"
    assert taken(queue, 3) == "a2"


async def test_under_overload_a_sixteenth_of_a_batch_is_kept_for_administration(queue: Queue) -> None:
    queue.put(waiting("a", "api-key"))
    for number_ in range(40):
        queue.put(waiting(f"i{number_}", "completion"))
    assert taken(queue, 32).split()[-2:] == ["i30", "a"]


async def test_what_killed_its_batches_comes_alone(queue: Queue) -> None:
    queue.put_back([waiting("w1"), waiting("w2", deaths=2), waiting("w3", deaths=2), waiting("w4"), waiting("w5")])
    assert [taken(queue, 10) for _ in range(5)] == ["w1", "w2", "w3", "w4 w5", ""]


async def test_what_is_put_back_comes_first_and_in_its_order(queue: Queue) -> None:
    queue.put(waiting("later"))
    queue.put_back([waiting("first"), waiting("second")])
    assert taken(queue, 10) == "first second later"


async def test_a_caller_that_gave_up_is_not_taken_back_by_the_writer(queue: Queue) -> None:
    work = waiting("w")
    assert work.claim("caller")
    queue.put_back([work])
    assert not work.claim("writer")


async def test_whoever_wakes_the_writer_just_before_it_sleeps_is_heard(queue: Queue) -> None:
    queue.wake()
    assert not queue.fall_asleep()
    queue.awake()
    assert queue.fall_asleep()
