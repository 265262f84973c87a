"""Our subclass of the library's recorder: it answers as the library's own does, follows, and can't append."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from eventsourcing.persistence import Notification, NotSupportedError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from adapters.log.codec import Row
from adapters.log.postgres_log import PostgresLog
from adapters.log.recorder import LogRecorder
from domain.ids import Slug
from tests.log.database import stored
from tests.log.tally import Count, count


@pytest.fixture
def recorder(database_url: str) -> Iterator[LogRecorder]:
    recorder = LogRecorder(database_url)
    yield recorder
    recorder.close()


async def test_it_selects_what_the_librarys_own_selects(log: PostgresLog, recorder: LogRecorder) -> None:
    await log.submit(Count(tally_id=Slug("a"), events=7), by="key:k", correlation_id="c")
    asked: list[dict[str, Any]] = [
        {"start": None, "limit": 3},
        {"start": 0, "limit": 100},
        {"start": 3, "limit": 2},
        {"start": 3, "limit": 2, "inclusive_of_start": False},
        {"start": 2, "limit": 100, "stop": 5},
        {"start": None, "limit": 100, "stop": 4, "topics": ["tally.counted.v1"]},
        {"start": 1, "limit": 100, "topics": ("other.topic.v1",)},
        {"start": 8, "limit": 1},
    ]
    for question in asked:
        own = PostgresApplicationRecorder.select_notifications(recorder, **question)
        assert recorder.select_notifications(**question) == own, question
    assert recorder.max_notification_id() == recorder.head() == 7
    assert [event.originator_version for event in recorder.select_events("main/tally/a", gt=5)] == [6, 7]


async def test_its_pages_have_the_envelope(log: PostgresLog, recorder: LogRecorder, database_url: str) -> None:
    assert (recorder.page(1, 10), recorder.head()) == ([], 0)
    await log.submit(Count(tally_id=Slug("a"), events=5), by="key:k", correlation_id="c")
    assert [tuple(row) for row in stored(database_url)[1:4]] == recorder.page(2, 3)
    assert Row(*recorder.page(5, 9)[0]).by == "key:k"


async def test_the_librarys_subscription_follows_with_it(log: PostgresLog, recorder: LogRecorder) -> None:
    await count(log, "a")
    with recorder.subscribe(gt=0) as subscription:
        assert (await asyncio.to_thread(next, subscription)).id == 1
        pushed: asyncio.Future[Notification] = asyncio.ensure_future(asyncio.to_thread(next, subscription))
        await count(log, "a")
        assert (await asyncio.wait_for(pushed, 2.0)).id == 2


async def test_it_can_not_append(log: PostgresLog, recorder: LogRecorder, database_url: str) -> None:
    stray = StoredEvent(originator_id="main/tally/x", originator_version=1, topic="t", state=b"{}")
    with pytest.raises(NotSupportedError):
        recorder.insert_events([stray])
    assert stored(database_url) == []
