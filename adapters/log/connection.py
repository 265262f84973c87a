"""The writer's connection and its two round trips."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from adapters.log import statements
from adapters.log.batch import Batch, Remembered, json_bodies
from adapters.log.codec import Row, columns
from adapters.log.replica import PAGE_ROWS, TAIL_MAX, Connection, Replica

GUARD_MS: Final = 1_000
"""How long a process may hold the lock before the server takes it away."""
LOCK_WAIT_S: Final = 5
CONNECT_TIMEOUT_S: Final = 2
CLOCK_SKEW_MAX: Final = timedelta(seconds=30)
KEEPALIVES: Final = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}


class ClockSkew(Exception):  # noqa: N818
    """The clocks of the database, the log and this process are too far apart to decide anything by."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The lock is held."""

    locked_at: float
    now: datetime
    """The batch's one time."""
    remembered: dict[bytes, Remembered]
    """What the idempotency keys did before."""


def connect(url: str) -> Connection:
    connection: Connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, **KEEPALIVES)
    connection.execute(statements.SESSION, (f"{LOCK_WAIT_S}s", "gateway writer"))
    connection.execute(f"LISTEN {statements.CHANNEL}".encode())
    # Without a handler psycopg would keep every notification for a generator that nobody runs.
    connection.add_notify_handler(lambda _notification: None)
    return connection


def begin(connection: Connection, replica: Replica, idempotency_keys: Sequence[bytes]) -> Begun:
    """The first round trip: take the lock, and fold the tail under it. Raises Rewound and ClockSkew; the caller disconnects."""
    while True:
        with connection.pipeline():
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED", prepare=False)
            connection.execute(statements.TAKE_LOCK, (statements.LOG_LOCK,), prepare=True)
            guard = connection.execute(statements.GUARD, (str(GUARD_MS),), prepare=True, binary=True)
            tail_read = connection.execute(statements.TAIL, (replica.position, TAIL_MAX + 1), prepare=True, binary=True)
            repeats = (
                connection.execute(statements.REPEATED, (replica.org, list(idempotency_keys)), binary=True) if idempotency_keys else None
            )
        locked_at = time.monotonic()
        tail = tail_read.fetchall()
        if len(tail) <= TAIL_MAX:
            break
        # Decoding so much takes too long to hold the lock for it.
        connection.execute("ROLLBACK")
        replica.fold_tail(tail_after(connection, replica.position - 1, PAGE_ROWS))
    replica.fold_tail(tail)
    now = _batch_time(database_time=guard.fetchall()[0][1], head_time=tail[-1][4] if tail else None)
    known = {key: Remembered(digest, position, events) for key, digest, position, events in (repeats.fetchall() if repeats else ())}
    return Begun(locked_at, now, known)


def write(connection: Connection, batch: Batch, org: str) -> None:
    """The second round trip: all of the batch, or nothing."""
    with connection.pipeline():
        if batch.rows:
            connection.execute(statements.INSERT, columns(batch.rows), prepare=True)
        if batch.forgettable:
            kinds, references = [item.kind for item in batch.forgettable], [item.reference for item in batch.forgettable]
            connection.execute(statements.FORGETTABLE, (org, kinds, references, json_bodies(batch.forgettable)))
        if batch.remembered:
            keys, first = list(batch.remembered), list(batch.remembered.values())
            arrays = keys, [each.digest for each in first], [each.position for each in first], [each.events for each in first]
            connection.execute(statements.REMEMBER, (org, batch.now, *arrays))
        connection.execute(statements.NOTIFY, (str(batch.position),), prepare=True)
        connection.execute("COMMIT", prepare=False)


def stands(connection: Connection, row: Row) -> bool:
    """Whether the log has this very row. Takes the lock first: a transaction that wrote it and was lost has then ended."""
    with connection.transaction():
        connection.execute(statements.TAKE_LOCK, (statements.LOG_LOCK,))
        found = connection.execute(statements.TAIL, (row.position, 1), binary=True).fetchone()
    return found is not None and (found[0], found[-1]) == (row.position, row.hash)


def tail_after(connection: Connection, position: int, limit: int) -> list[tuple[Any, ...]]:
    return connection.execute(statements.TAIL, (position + 1, limit), prepare=True, binary=True).fetchall()


def _batch_time(*, database_time: datetime, head_time: datetime | None) -> datetime:
    """Never before the head's; raises ClockSkew when a clock must be wrong."""
    database_time = database_time.astimezone(UTC)
    if abs(database_time - datetime.now(UTC)) > CLOCK_SKEW_MAX:
        raise ClockSkew("this process's clock and the database's differ by more than 30 s")
    if head_time is None:
        return database_time
    if database_time < head_time - CLOCK_SKEW_MAX:
        raise ClockSkew("the database's clock is more than 30 s behind the log")
    return max(head_time.astimezone(UTC), database_time)
