"""Logs, opened for a test and stopped after it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from adapters.log.postgres_log import PostgresLog
from tests.log import tally

OpenLog = Callable[..., Awaitable[PostgresLog]]


@pytest.fixture(scope="package", autouse=True)
def tallies() -> Iterator[None]:
    tally.register()
    yield
    tally.unregister()


@pytest.fixture
async def open_log(database_url: str) -> AsyncIterator[OpenLog]:
    """Opens one more log on the test's database."""
    opened: list[PostgresLog] = []

    async def open_one(url: str = database_url, batch_max: int = 256) -> PostgresLog:
        log = PostgresLog(url, batch_max=batch_max)
        opened.append(log)
        await log.start()
        return log

    yield open_one
    for log in opened:
        if log.running:
            await log.stop()


@pytest.fixture
async def log(open_log: OpenLog) -> PostgresLog:
    return await open_log()
