"""A handwritten log on a database of its own."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tests.projections.handwritten import HandwrittenLog, asking


@pytest.fixture
def log(database_url: str) -> HandwrittenLog:
    return HandwrittenLog(database_url)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """As those that ask have it."""
    async with await asking(database_url) as connection:
        yield connection
