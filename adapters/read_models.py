"""Asking the read models: by connections that can't write, once the models have come as far as the log had when the question arrived."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from adapters.projecting.advancing import LIVE, ReadModel
from domain.errors import Unavailable

CONNECTIONS_MAX: Final = 8
CONNECTION_WAIT_S: Final = 2.0
STATEMENT_TIMEOUT_MS: Final = 5_000
FRESH_WAIT_S: Final = 0.5
"""How long a question waits for the projector. Then it is answered all the same, and the answer says how far it is behind."""
LOOK_S: Final = 0.005
SESSION: Final = (
    f"-c search_path={LIVE},public -c TimeZone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS} "
    "-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read"
)

PLACES: Final = """
SELECT (SELECT coalesce(max(notification_id), 0) FROM stored_events), (SELECT coalesce(min(position), 0) FROM tracking WHERE name = ANY(%s))
"""

Connection = psycopg.AsyncConnection[Any]


class Reading(NamedTuple):
    """A transaction in which all read models stand still."""

    connection: Connection
    stale: int
    """Events of the log that are not in them yet."""


class ReadModels:
    """Open it in the event loop that uses it."""

    def __init__(self, url: str) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            kwargs={"options": SESSION, "autocommit": True, "application_name": "gateway read models"},
            min_size=1,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECTION_WAIT_S,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def reading(self, *models: ReadModel) -> AsyncIterator[Reading]:
        """As fresh as can be had. Raises Unavailable."""
        names = [model.NAME for model in models]
        try:
            async with self._pool.connection() as connection:
                head = await _fresh(connection, names)
                async with connection.transaction():
                    await connection.execute(_lock(models))
                    _, position = await _places(connection, names)
                    yield Reading(connection, max(0, head - position))
        except psycopg.errors.QueryCanceled:
            raise Unavailable("The question took too long to answer. Ask for less at a time") from None
        except psycopg.errors.UndefinedTable:
            raise Unavailable("The read models are being made. Try again shortly") from None
        except (PoolTimeout, psycopg.OperationalError):
            raise Unavailable("The read models can't be reached now. Try again shortly") from None


def _lock(models: Sequence[ReadModel]) -> bytes:
    """Before the transaction's snapshot is taken: else rebuilt tables might be put in place between the snapshot and the question."""
    tables = ", ".join(sorted(table.name for model in models for table in model.TABLES))
    return f"LOCK TABLE {tables} IN ACCESS SHARE MODE".encode()


async def _fresh(connection: Connection, names: list[str]) -> int:
    """Answers the log's head on arrival, when they have come so far or the wait is over."""
    head, position = await _places(connection, names)
    until = asyncio.get_running_loop().time() + FRESH_WAIT_S
    while position < head and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(LOOK_S)
        _, position = await _places(connection, names)
    return head


async def _places(connection: Connection, names: list[str]) -> tuple[int, int]:
    (head, position), *_ = await (await connection.execute(PLACES, (names,))).fetchall()
    return head, position
