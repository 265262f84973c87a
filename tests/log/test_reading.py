"""What others wrote: read without ever crashing, and dated so that time never goes back."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from adapters.log import connection as connections
from adapters.log.chain import GENESIS, link
from adapters.log.codec import COLUMNS
from adapters.log.postgres_log import PostgresLog
from adapters.log.replica import Connection, Replica, read_to_end
from domain.errors import Unavailable, Unreadable
from domain.time import unix_micros
from tests.log.conftest import OpenLog
from tests.log.database import sound, stored
from tests.log.tally import TALLIES, Count, Tally, count, piling_up


def append(url: str, stream: str, topic: str, state: object, at: datetime | None = None) -> None:
    """As a process of another release would."""
    rows = stored(url)
    version = sum(row.stream == stream for row in rows) + 1
    previous, position = (rows[-1].hash, rows[-1].position + 1) if rows else (GENESIS, 1)
    at = at or (rows[-1].at if rows else datetime.now(UTC))
    body = state if isinstance(state, bytes) else json.dumps(state).encode()
    org = stream.split("/")[0]
    hash_ = link(previous, position, version, stream, topic, unix_micros(at), org, "key:new", "c", None, body)
    values = (position, stream, version, topic, at, org, "key:new", "c", None, body, hash_)
    with psycopg.connect(url) as connection:
        connection.execute(f"INSERT INTO stored_events ({COLUMNS}) VALUES ({', '.join(['%s'] * len(values))})".encode(), values)
        connection.execute("NOTIFY stored_events")


UNREADABLE = {
    "a topic that this release doesn't know": ("tally.renamed.v1", {"name": "x"}),
    "data that doesn't validate": ("tally.counted.v1", {"note": ["x"]}),
    "data that isn't JSON": ("tally.counted.v1", b"\xff\x00"),
    "an upcast of nothing": ("tally.counted.v1", b""),
}


@pytest.mark.parametrize(("topic", "state"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read_stops_its_own_stream_alone(log: PostgresLog, database_url: str, topic: str, state: object) -> None:
    await count(log, "a")
    append(database_url, "main/tally/a", topic, state)
    await log.catch_up()
    with pytest.raises(Unreadable):
        await count(log, "a")
    await count(log, "b")
    assert log.ready() is None
    assert len(sound(database_url)) == 3


async def test_an_unknown_field_is_passed_over(log: PostgresLog, database_url: str) -> None:
    append(database_url, "main/tally/a", "tally.counted.v1", {"note": "x", "colour": "green"})
    assert (await count(log, "a")).state == Tally(total=2)


async def test_what_cannot_be_read_on_a_completion_makes_the_process_not_ready(log: PostgresLog, database_url: str) -> None:
    append(database_url, "main/completion/c-1", "completion.dreamt.v1", {})
    await log.catch_up()
    assert log.ready() is not None


@pytest.mark.parametrize("stream", ["main/tally-of-tomorrow/a", "main/nothing", "main", "main//", "main/completion/x"])
async def test_a_stream_of_no_known_shape_stops_nobody(log: PostgresLog, database_url: str, stream: str) -> None:
    append(database_url, stream, "tally.counted.v1", {})
    await count(log, "a")
    assert len(sound(database_url)) == 2


async def test_another_organisation_s_events_move_the_position_and_nothing_else(log: PostgresLog, database_url: str) -> None:
    append(database_url, "other/tally/a", "tally.counted.v1", {})
    assert (await count(log, "a")).state == Tally(total=1)
    assert len(sound(database_url)) == 2


async def test_a_log_is_read_in_pages(log: PostgresLog, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    for events in (1, 7, 10):
        await log.submit(Count(tally_id="a", events=events), by="key:k", correlation_id="c")
    monkeypatch.setattr("adapters.log.replica.PAGE_ROWS", 4)
    reader = await open_log()
    assert reader.view.get(TALLIES, "a") == Tally(total=18)


async def test_a_writer_far_behind_catches_up_without_the_lock_first(
    log: PostgresLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlocked: list[int] = []
    monkeypatch.setattr("adapters.log.connection.TAIL_MAX", 5)

    def reading(connection: Connection, replica: Replica) -> None:
        unlocked.append(replica.position)
        read_to_end(connection, replica)

    monkeypatch.setattr("adapters.log.connection.read_to_end", reading)
    async with piling_up(log):
        for _ in range(10):
            append(database_url, "main/tally/a", "tally.counted.v1", {})
    assert (await count(log, "a")).state == Tally(total=11)
    assert unlocked == [0]


# Time


async def test_time_never_goes_back(log: PostgresLog, database_url: str) -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=20)
    append(database_url, "main/tally/a", "tally.counted.v1", {}, at=ahead)
    committed = await count(log, "a")
    assert committed.events[0].at == ahead
    assert sound(database_url)[-1].at == ahead


async def test_a_log_from_the_future_is_not_decided_on(log: PostgresLog, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.log.postgres_log.SUBMIT_WAIT_S", 0.3)
    append(database_url, "main/tally/a", "tally.counted.v1", {}, at=datetime.now(UTC) + timedelta(seconds=40))
    with pytest.raises(Unavailable):
        await count(log, "a")
    await asyncio.sleep(0.5)
    assert log.ready() == "the database's clock is more than 30 s behind the log"
    assert len(stored(database_url)) == 1


async def test_a_wrong_clock_stops_deciding_until_it_is_right_again(
    log: PostgresLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.log.postgres_log.SUBMIT_WAIT_S", 0.3)
    monkeypatch.setattr(connections, "CLOCK_SKEW_MAX", timedelta(seconds=-1))
    with pytest.raises(Unavailable):
        await count(log, "a")
    await asyncio.sleep(0.5)
    assert log.ready() == "this process's clock and the database's differ by more than 30 s"
    monkeypatch.undo()
    await asyncio.sleep(0.5)
    assert log.ready() is None
    await count(log, "a")
    assert len(sound(database_url)) == 1
