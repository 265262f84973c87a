"""What a submitted command comes to: rows in the log, an answer, or a refusal that leaves nothing."""

import asyncio
import json
from uuid import uuid4

import psycopg
import pytest

from adapters.log.postgres_log import PostgresLog
from application.ports import Idempotency
from domain.errors import Conflict, Invalid, Unavailable, VersionMismatch
from domain.ids import Slug
from tests.log.conftest import OpenLog
from tests.log.database import correlations, lock_held, sound, stored
from tests.log.tally import TALLIES, Count, Tally, count, piling_up


async def test_a_command_becomes_rows_in_the_right_envelope(log: PostgresLog, database_url: str) -> None:
    committed = await log.submit(Count(tally_id="a", events=2, note="é"), by="key:k", correlation_id="request-1", causation_id="17")
    first, second = sound(database_url)
    assert (first.stream, first.version, first.topic) == ("main/tally/a", 1, "tally.counted.v1")
    assert (first.org, first.by, first.correlation_id, first.causation_id) == ("main", "key:k", "request-1", "17")
    assert json.loads(first.state) == {"note": "é"}
    assert (second.position, second.version, second.at) == (2, 2, first.at)
    assert (committed.position, committed.version, committed.state) == (2, 2, Tally(total=2))
    assert [(event.position, event.at, event.hash) for event in committed.events] == [
        (row.position, row.at, row.hash) for row in (first, second)
    ]


async def test_what_was_committed_is_seen_in_the_view_at_once(log: PostgresLog) -> None:
    await count(log, "a")
    assert log.view.get(TALLIES, "a") == Tally(total=1)
    assert log.position == 1


async def test_many_at_once_share_batches_and_keep_their_order(log: PostgresLog, database_url: str) -> None:
    await asyncio.gather(*(count(log, "a", correlation_id=f"c{number}") for number in range(1_000)))
    assert [row.correlation_id for row in sound(database_url)] == [f"c{number}" for number in range(1_000)]
    assert log.writer.measures.batches < 100


async def test_a_refusal_leaves_nothing_and_its_neighbours_are_recorded(log: PostgresLog, database_url: str) -> None:
    answers = await asyncio.gather(
        *(log.submit(Count(tally_id="a", limit=3), by="key:k", correlation_id=f"c{number}") for number in range(5)), return_exceptions=True
    )
    assert [type(answer) for answer in answers[3:]] == [Conflict, Conflict]
    assert [row.correlation_id for row in sound(database_url)] == ["c0", "c1", "c2"]


async def test_a_command_with_nothing_to_say_writes_nothing(log: PostgresLog, database_url: str) -> None:
    committed = await log.submit(Count(tally_id="a", events=0), by="key:k", correlation_id="c")
    assert (committed.events, committed.version) == ([], 0)
    assert not stored(database_url)


async def test_a_decider_s_bug_is_that_command_s_failure_alone(log: PostgresLog, database_url: str) -> None:
    good, bad, also_good = await asyncio.gather(
        count(log, "a"),
        log.submit(Count(tally_id="a", fault="bug"), by="key:k", correlation_id="bad"),
        count(log, "a"),
        return_exceptions=True,
    )
    assert isinstance(bad, ZeroDivisionError)
    assert [row.version for row in sound(database_url)] == [1, 2]
    assert not isinstance(good, BaseException)
    assert not isinstance(also_good, BaseException)


async def test_an_event_over_64_kib_is_refused(log: PostgresLog, database_url: str) -> None:
    with pytest.raises(Invalid, match="too large to be recorded"):
        await log.submit(Count(tally_id="a", note="x" * 65_536), by="key:k", correlation_id="c")
    await log.submit(Count(tally_id="a", note="x" * (65_536 - len('{"note":""}'))), by="key:k", correlation_id="c")
    assert len(sound(database_url)) == 1


@pytest.mark.parametrize("text", ["nul\0", "line\nline", "half \ud800", "x" * 201])
async def test_an_envelope_that_cannot_be_stored_is_refused_before_the_batch(log: PostgresLog, database_url: str, text: str) -> None:
    with pytest.raises(Invalid, match="printable"):
        await count(log, "a", correlation_id=text)
    assert not stored(database_url)


async def test_the_expected_version_is_checked_in_the_batch(log: PostgresLog, database_url: str) -> None:
    await count(log, "a")
    with pytest.raises(VersionMismatch):
        await log.submit(Count(tally_id="a"), by="key:k", correlation_id="c", expected_version=0)
    async with piling_up(log):
        twice = (log.submit(Count(tally_id="a"), by="key:k", correlation_id="c", expected_version=1) for _ in range(2))
        asked = asyncio.gather(*twice, return_exceptions=True)
    answers = await asked
    assert [type(answer).__name__ for answer in answers] == ["Committed", "VersionMismatch"]
    assert len(sound(database_url)) == 2


async def test_forgettable_rows_are_written_with_their_events(log: PostgresLog, database_url: str) -> None:
    person = uuid4()
    await log.submit(Count(tally_id="a", person=person, name='Zoë \\u0000 "q"'), by="key:k", correlation_id="c")
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT org, kind, reference, body FROM forgettable").fetchall()
    assert rows == [("main", "person", person, {"name": 'Zoë \\u0000 "q"'})]
    assert b"Zo" not in sound(database_url)[0].state


@pytest.mark.parametrize("name", ["nul\0", "half \ud800", "x" * 70_000])
async def test_a_forgettable_body_that_cannot_be_stored_refuses_its_command_alone(log: PostgresLog, database_url: str, name: str) -> None:
    command = Count.model_construct(tally_id=Slug("a"), person=uuid4(), name=name)
    bad, _ = await asyncio.gather(log.submit(command, by="key:k", correlation_id="bad"), count(log, "a"), return_exceptions=True)
    assert isinstance(bad, Invalid)
    assert list(correlations(database_url)) == ["c"]
    assert log.writer.measures.connects == 1


# Idempotency


ONCE = Idempotency(key=b"key", digest=b"digest")
OTHER = Idempotency(key=b"key", digest=b"other")


async def once(log: PostgresLog, idempotency: Idempotency = ONCE, **fields: object) -> object:
    command = Count.model_validate({"tally_id": "a", "events": 2, **fields})
    return await log.submit(command, by="key:k", correlation_id="c", idempotency=idempotency)


async def test_the_same_request_twice_is_done_once_and_answered_alike(log: PostgresLog, open_log: OpenLog, database_url: str) -> None:
    first = await log.submit(Count(tally_id="a", events=2), by="key:k", correlation_id="c", idempotency=ONCE)
    again = await log.submit(Count(tally_id="a", events=2), by="key:k", correlation_id="d", idempotency=ONCE)
    elsewhere = await (await open_log()).submit(Count(tally_id="a", events=2), by="key:k", correlation_id="e", idempotency=ONCE)
    assert (first.repeated, again.repeated, elsewhere.repeated) == (False, True, True)
    assert list(first.events) == list(again.events) == list(elsewhere.events)
    assert again.state == Tally(total=2)
    assert len(sound(database_url)) == 2


async def test_the_same_request_twice_in_one_batch_is_done_once(log: PostgresLog, database_url: str) -> None:
    async with piling_up(log):
        asked = asyncio.gather(*(log.submit(Count(tally_id="a"), by="k", correlation_id="c", idempotency=ONCE) for _ in range(2)))
    first, again = await asked
    assert (first.repeated, again.repeated) == (False, True)
    assert list(first.events) == list(again.events)
    assert len(sound(database_url)) == 1


async def test_a_key_used_for_another_request_is_a_conflict(log: PostgresLog) -> None:
    await once(log)
    with pytest.raises(Conflict) as conflict:
        await once(log, OTHER)
    assert conflict.value.code == "idempotency_key_reused"


async def test_a_key_whose_request_was_refused_may_be_used_again(log: PostgresLog, database_url: str) -> None:
    with pytest.raises(Conflict, match="counted"):
        await once(log, OTHER, limit=1)
    await once(log)
    assert len(sound(database_url)) == 2


async def test_a_key_whose_request_changed_nothing_is_remembered_too(log: PostgresLog, database_url: str) -> None:
    await once(log, events=0)
    with pytest.raises(Conflict):
        await once(log, OTHER)
    again = await log.submit(Count(tally_id="a", events=2), by="k", correlation_id="c", idempotency=ONCE)
    assert (again.repeated, list(again.events)) == (True, [])
    assert not stored(database_url)


# Giving up


async def test_a_full_queue_is_said_at_once(log: PostgresLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.log.work.QUEUE_MAX", 10)
    async with piling_up(log):
        asked = asyncio.gather(*(count(log, "a") for _ in range(20)), return_exceptions=True)
    answers = await asked
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 10
    assert all(isinstance(answer, Unavailable) for answer in refused)


async def test_a_cancelled_caller_s_waiting_command_is_not_decided(log: PostgresLog, database_url: str) -> None:
    with lock_held(database_url):
        waiting = asyncio.create_task(count(log, "a", correlation_id="gone"))
        staying = asyncio.create_task(count(log, "a", correlation_id="stays"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(0)
    await staying
    assert list(correlations(database_url)) == ["stays"]
