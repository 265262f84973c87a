"""What identifies a person: found inside the batch, written once however many meet them, deleted with the event that says so."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from adapters.log.postgres_log import PostgresLog
from adapters.log.reading import PostgresEvents
from adapters.log.statements import SOUGHT
from application.ports import Committed
from domain.end_user.commands import EraseEndUser, IdentifyEndUser
from domain.errors import Conflict, NotFound
from domain.ids import EndUserId, Slug
from domain.kernel import Sought
from domain.references import REFERENCES
from tests.log.conftest import OpenLog
from tests.log.database import sound
from tests.log.tally import Count, count, piling_up
from tests.log.test_submitting import ONCE

SEEN, ERASED, COUNTED = "end_user.seen.v1", "end_user.erased.v1", "tally.counted.v1"


def person(name: str = "ada") -> IdentifyEndUser:
    """Under a reference just minted."""
    return IdentifyEndUser(reference=EndUserId(str(uuid4())), value=name, hmac=name.encode().hex().ljust(64, "0"))


def sought(name: str = "ada") -> Sought:
    return person(name).seeks


async def met(log: PostgresLog, name: str = "ada", **fields: Any) -> Committed:
    """Beside a count."""
    return await log.submit(Count(tally_id=Slug("a"), **fields), by="key:k", correlation_id="met", then=person(name))


async def erased(log: PostgresLog, reference: str) -> Committed:
    return await log.submit(EraseEndUser(reference=EndUserId(reference)), by="key:k", correlation_id="erased")


def rows(url: str) -> dict[str, str]:
    """From who they are to the reference."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT body ->> 'value', reference FROM forgettable WHERE kind = 'end_user'").fetchall()
        assert len(found) == len(dict(found))
        return {value: str(reference) for value, reference in found}


def topics(url: str) -> list[str]:
    return [row.topic for row in sound(url)]


async def test_what_follows_a_command_shares_its_batch(log: PostgresLog, database_url: str) -> None:
    batches = log.writer.measures.batches
    committed = await met(log)
    assert log.writer.measures.batches == batches + 1
    assert [event.event.topic for event in committed.events] == [COUNTED]
    counted, seen = sound(database_url)
    assert (counted.topic, seen.topic, seen.at, seen.by, seen.correlation_id) == (COUNTED, SEEN, counted.at, "key:k", "met")
    assert seen.stream == f"main/end-user/{rows(database_url)['ada']}"
    assert b"ada" not in seen.state
    assert b"616461" not in seen.state


async def test_what_follows_a_refused_command_is_not_decided(log: PostgresLog, database_url: str) -> None:
    with pytest.raises(Conflict):
        await met(log, limit=0)
    assert (topics(database_url), rows(database_url)) == ([], {})


async def test_what_follows_a_command_that_was_done_before_is_not_decided_again(log: PostgresLog, database_url: str) -> None:
    for name in ("ada", "bob"):
        await log.submit(Count(tally_id=Slug("a")), by="key:k", correlation_id="c", idempotency=ONCE, then=person(name))
    assert topics(database_url) == [COUNTED, SEEN]


async def test_a_bug_in_what_follows_takes_nothing_with_it(log: PostgresLog, database_url: str) -> None:
    await log.submit(Count(tally_id=Slug("a")), by="k", correlation_id="c", then=Count(tally_id=Slug("b"), fault="bug"))
    assert topics(database_url) == [COUNTED]


async def test_whoever_is_met_by_many_processes_at_once_has_one_reference(open_log: OpenLog, database_url: str) -> None:
    logs = [await open_log() for _ in range(3)]
    await asyncio.gather(*(met(log, name) for _ in range(5) for log in logs for name in ("ada", "bob")))
    known = rows(database_url)
    assert known.keys() == {"ada", "bob"}
    assert topics(database_url).count(SEEN) == 2
    for log in logs:  # each has met them, by its own introduction or another's
        assert {name: log.view.get(REFERENCES, sought(name)) for name in known} == known


async def test_whoever_is_met_twice_in_one_batch_has_one_reference(log: PostgresLog, database_url: str) -> None:
    async with piling_up(log):
        asked = asyncio.gather(*(met(log) for _ in range(4)))
    await asked
    assert topics(database_url).count(SEEN) == 1
    assert len({row.at for row in sound(database_url)}) == 1


async def test_a_new_process_finds_who_was_met_before_it_started(log: PostgresLog, open_log: OpenLog, database_url: str) -> None:
    await met(log)
    await met(await open_log())
    assert topics(database_url).count(SEEN) == 1


async def test_memory_is_bounded_and_whoever_is_not_in_it_is_looked_up(
    log: PostgresLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.log.replica.REFERENCES_MAX", 2)
    for name in ("ada", "bob", "eve", "ada", "bob"):
        await met(log, name)
        assert log.view.get(REFERENCES, sought(name)) == rows(database_url)[name]
    assert len(rows(database_url)) == topics(database_url).count(SEEN) == 3
    assert {name: len(table) for name, table in log.writer.replica.state.tables.items() if name in ("reference", "sought")} == {
        "reference": 2,
        "sought": 2,
    }


async def test_an_erasure_deletes_the_row_and_every_process_forgets(log: PostgresLog, open_log: OpenLog, database_url: str) -> None:
    other = await open_log()
    await met(log)
    await met(other, "ada")
    reference = rows(database_url)["ada"]
    committed = await erased(log, reference)
    assert [event.event.topic for event in committed.events] == [ERASED]
    assert rows(database_url) == {}
    await other.catch_up()
    assert [each.view.get(REFERENCES, sought()) for each in (log, other)] == [None, None]
    assert (await erased(other, reference)).events == []
    with pytest.raises(NotFound):
        await erased(log, str(uuid4()))


async def test_who_was_erased_and_is_met_again_is_somebody_new_even_in_the_same_batch(log: PostgresLog, database_url: str) -> None:
    await met(log)
    first = rows(database_url)["ada"]
    async with piling_up(log):
        asked = asyncio.gather(erased(log, first), met(log), met(log))
    await asked
    second = rows(database_url)["ada"]
    assert second != first
    assert topics(database_url).count(SEEN) == 2
    assert log.view.get(REFERENCES, sought()) == second


async def test_who_was_met_and_erased_in_one_batch_leaves_no_row(log: PostgresLog, database_url: str) -> None:
    ada = person()
    async with piling_up(log):
        identified = asyncio.create_task(log.submit(ada, by="k", correlation_id="c"))
        await asyncio.sleep(0)
        gone = asyncio.create_task(erased(log, ada.reference))
    await asyncio.gather(identified, gone)
    assert topics(database_url) == [SEEN, ERASED]
    assert rows(database_url) == {}
    assert log.view.get(REFERENCES, sought()) is None


async def test_a_batch_that_dies_has_met_and_erased_nobody(log: PostgresLog, database_url: str) -> None:
    await met(log)
    ada = rows(database_url)["ada"]
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE stored_events ADD CONSTRAINT no_poison CHECK (state::text NOT LIKE '%706f69736f6e%')")
    async with piling_up(log):
        asked = asyncio.gather(met(log, "bob", fault="poison"), erased(log, ada), return_exceptions=True)
    poisoned, erasure = await asked
    assert isinstance(poisoned, psycopg.Error)
    assert isinstance(erasure, Committed)
    assert rows(database_url) == {}
    assert log.view.get(REFERENCES, sought("bob")) is None
    await count(log, "a")


async def test_a_reference_is_found_for_whoever_asks_by_what_they_are_called(log: PostgresLog, database_url: str) -> None:
    await met(log)
    events = PostgresEvents(database_url)
    await events.open()
    assert await events.reference(sought()) == rows(database_url)["ada"]
    assert await events.reference(sought("bob")) is None
    await events.close()


async def test_two_rows_for_one_person_are_refused_by_the_table_itself(log: PostgresLog, database_url: str) -> None:
    await met(log)
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            "INSERT INTO forgettable SELECT org, kind, %s, body FROM forgettable WHERE kind = 'end_user' AND body ->> 'hmac' = %s",
            (uuid4(), sought().hmac),
        )


async def test_looking_somebody_up_among_many_takes_the_index(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO forgettable SELECT 'main', 'end_user', gen_random_uuid(), jsonb_build_object('hmac', n::text)"
            " FROM generate_series(1, 20000) AS n; ANALYZE forgettable"
        )
        asked = (["end_user"] * 256, [str(n) for n in range(256)], "main")
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {SOUGHT}".encode(), asked))
    assert "forgettable_hmac_idx" in plan, plan


# Event time, outside of batches


async def test_what_is_decided_is_never_dated_after_the_log_s_time(log: PostgresLog) -> None:
    for _ in range(20):
        committed = await count(log, "a")
        asked_now = log.time()
        assert committed.events[0].at <= asked_now
    assert (log.time() - committed.events[0].at).total_seconds() < 0.5
