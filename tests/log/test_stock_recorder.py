"""The eventsourcing library's own recorder, unchanged, on our table: it reads and follows, and can't append."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from eventsourcing.persistence import IntegrityError, Notification, ProgrammingError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from adapters.log.postgres_log import PostgresLog
from tests.log.database import sound, stored
from tests.log.tally import Count, count


@contextmanager
def stock_recorder(url: str) -> Iterator[PostgresApplicationRecorder]:
    address = conninfo_to_dict(url)
    datastore = PostgresDatastore(
        dbname=str(address["dbname"]),
        host=str(address["host"]),
        port=str(address["port"]),
        user=str(address["user"]),
        password=str(address["password"]),
        pool_size=3,
        originator_id_type="text",
    )
    with datastore:
        yield PostgresApplicationRecorder(datastore, events_table_name="stored_events")


async def test_it_selects_a_stream_s_events(log: PostgresLog, database_url: str) -> None:
    await log.submit(Count(tally_id="a", events=3), by="key:k", correlation_id="c")
    await count(log, "b")
    with stock_recorder(database_url) as recorder:
        events = recorder.select_events("main/tally/a", gt=1)
        assert [(event.originator_id, event.originator_version, event.topic) for event in events] == [
            ("main/tally/a", 2, "tally.counted.v1"),
            ("main/tally/a", 3, "tally.counted.v1"),
        ]
        assert [bytes(event.state) for event in events] == [row.state for row in sound(database_url)[1:3]]


async def test_it_selects_notifications_by_position(log: PostgresLog, database_url: str) -> None:
    await asyncio.gather(*(count(log, f"t{number}") for number in range(10)))
    with stock_recorder(database_url) as recorder:
        assert recorder.max_notification_id() == 10
        assert [notification.id for notification in recorder.select_notifications(start=4, limit=5)] == [4, 5, 6, 7, 8]


async def test_its_subscription_is_pushed_what_is_appended(log: PostgresLog, database_url: str) -> None:
    await count(log, "a")
    with stock_recorder(database_url) as recorder, recorder.subscribe(gt=0) as subscription:
        assert (await asyncio.to_thread(next, subscription)).id == 1
        pushed: asyncio.Future[Notification] = asyncio.ensure_future(asyncio.to_thread(next, subscription))
        await asyncio.sleep(0.2)
        assert not pushed.done()
        await count(log, "a")
        assert (await asyncio.wait_for(pushed, 2.0)).id == 2


@pytest.mark.parametrize(("creates_its_table", "failure"), [(True, IntegrityError), (False, ProgrammingError)])
async def test_it_cannot_append(log: PostgresLog, database_url: str, creates_its_table: bool, failure: type[Exception]) -> None:
    await count(log, "a")
    stray = [StoredEvent(originator_id=f"main/tally/{name}", originator_version=1, topic="t", state=b"{}") for name in "xy"]
    with stock_recorder(database_url) as recorder:
        if creates_its_table:
            recorder.create_table()
        with pytest.raises(failure):
            recorder.insert_events(stray)
    await count(log, "a")
    assert [row.stream for row in sound(database_url)] == ["main/tally/a"] * 2
    assert len(stored(database_url)) == 2
