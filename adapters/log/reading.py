"""Pages of the log for people: filtered, by position, on connections of their own that can't write and don't wait for long."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from adapters.liveness import HELD_LOCKS
from adapters.log.codec import whole
from adapters.log.statements import SOUGHT
from application.ports import EventFilter, StoredEvent
from domain.errors import Unavailable
from domain.ids import ORG_DEFAULT
from domain.kernel import Sought

CONNECTIONS_MAX: Final = 4
CONNECTION_WAIT_S: Final = 2.0
STATEMENT_TIMEOUT_MS: Final = 5_000
SESSION: Final = f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_TIMEOUT_MS}"

COLUMNS: Final = (
    "notification_id AS position, originator_id AS stream, originator_version AS version, topic, at, org, by, "
    "correlation_id, causation_id, state AS data, hash"
)

CONDITIONS: Final[dict[str, LiteralString]] = {
    "stream": "originator_id = %(stream)s",
    "category": "split_part(originator_id, '/', 2) = %(category)s",
    "topic": "topic = %(topic)s",
    "by": "by = %(by)s",
    "correlation_id": "correlation_id = %(correlation_id)s",
}

# Time never goes back along the log, so a moment is found by halving: some twenty-five look-ups by position. Comparing `at` in
# the page's own query would let the planner walk the log from its beginning.
LAST_BEFORE: Final = """
    WITH RECURSIVE search (low, high) AS (
        SELECT coalesce(min(notification_id), 1) - 1, coalesce(max(notification_id), 0) FROM stored_events
      UNION ALL
        SELECT CASE WHEN at < %(moment)s THEN middle ELSE low END, CASE WHEN at < %(moment)s THEN high ELSE middle - 1 END
        FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM search WHERE low < high) AS halves
        JOIN stored_events ON notification_id = middle
    )
    SELECT low FROM search WHERE low = high
"""

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class PostgresEvents:
    """An `EventReader`. Open it in the event loop that uses it."""

    def __init__(self, url: str) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            kwargs={"options": SESSION, "autocommit": True, "application_name": "gateway reader"},
            min_size=0,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECTION_WAIT_S,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def is_held(self, lock: int) -> bool:
        """Whether any session holds this advisory lock. Raises Unavailable."""
        try:
            async with self._pool.connection() as connection:
                return (lock,) in await (await connection.execute(HELD_LOCKS)).fetchall()
        except (PoolTimeout, psycopg.OperationalError):
            raise Unavailable("The database can't be asked now") from None

    async def reference(self, sought: Sought) -> str | None:
        try:
            async with self._pool.connection() as connection:
                found = await (await connection.execute(SOUGHT, ([sought.kind], [sought.hmac], ORG_DEFAULT))).fetchone()
        except (PoolTimeout, psycopg.OperationalError):
            raise Unavailable("The log can't be read now. Try again shortly") from None
        return None if found is None else str(found[2])

    async def page(self, wanted: EventFilter) -> Sequence[StoredEvent]:
        try:
            async with self._pool.connection() as connection:
                after = max(wanted.after, await _last_before(connection, wanted.since) if wanted.since else 0)
                last = await _last_before(connection, wanted.until) if wanted.until else None
                return await _page(connection, wanted, after, last)
        except psycopg.errors.QueryCanceled:
            raise Unavailable("Searching the log took too long. Ask for a shorter time or from a later position") from None
        except (PoolTimeout, psycopg.OperationalError):
            raise Unavailable("The log can't be read now. Try again shortly") from None


async def _last_before(connection: Connection, moment: datetime) -> int:
    """The last position before a moment; the one before the log's first where there is none."""
    found = await (await connection.execute(LAST_BEFORE, {"moment": moment})).fetchone()
    assert found is not None
    return int(found[0])


async def _page(connection: Connection, wanted: EventFilter, after: int, last: int | None) -> list[StoredEvent]:
    said = [condition for name, condition in CONDITIONS.items() if getattr(wanted, name) is not None]
    bounds = ["notification_id > %(after)s", *(["notification_id <= %(last)s"] if last is not None else [])]
    query = f"SELECT {COLUMNS} FROM stored_events WHERE {' AND '.join(bounds + said)} ORDER BY notification_id LIMIT %(limit)s"  # noqa: S608 (our own words; values are bound)
    values = {name: getattr(wanted, name) for name in CONDITIONS} | {"after": after, "last": last, "limit": wanted.limit}
    async with connection.cursor(row_factory=class_row(StoredEvent), binary=True) as cursor:
        await cursor.execute(query.encode(), values)
        return [event._replace(data=whole(event.topic, event.data)) for event in await cursor.fetchall()]
