"""The writer's connection and its two round trips."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from adapters.log import statements
from adapters.log.batch import Batch, Remembered
from adapters.log.codec import Row, columns
from adapters.log.replica import TAIL_MAX, Connection, Replica, read_to_end
from domain.kernel import Sought

GUARD_MS: Final = 1_000
"""How long a process may hold the lock before the server takes it away."""
LOCK_WAIT_S: Final = 5
ANSWER_WAIT_S: Final = 10.0
"""Longer than any wait for the lock. A server that is silent for so long is not waited for: what it did is looked up afterwards."""
CONNECT_TIMEOUT_S: Final = 2
CLOCK_SKEW_MAX: Final = timedelta(seconds=30)
KEEPALIVES: Final[dict[str, Any]] = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}

T = TypeVar("T")


class ClockSkew(Exception):  # noqa: N818
    """The clocks of the database, the log and this process are too far apart to decide anything by."""


class ImpatientConnection(Connection):
    """Waits for no answer longer than ANSWER_WAIT_S."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval, ANSWER_WAIT_S if timeout is None else timeout)


@dataclass(frozen=True, slots=True)
class Begun:
    """The lock is held."""

    asked_at: float
    """When the database was asked for its time, by `time.monotonic`."""
    locked_at: float
    now: datetime
    """The batch's one time."""
    remembered: dict[bytes, Remembered]
    """What the idempotency keys did before."""
    found: dict[Sought, str]
    """The references of what is sought, where it is there."""


def connect(url: str) -> Connection:
    connection = ImpatientConnection.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, **KEEPALIVES)
    try:
        connection.execute(statements.SESSION, (f"{LOCK_WAIT_S}s", "gateway writer"))
        connection.execute(f"LISTEN {statements.CHANNEL}".encode())
    except BaseException:
        connection.close()
        raise
    # Without a handler psycopg would keep every notification for a generator that nobody runs.
    connection.add_notify_handler(lambda _notification: None)
    return connection


def begin(connection: Connection, replica: Replica, idempotency_keys: Sequence[bytes], sought: Collection[Sought]) -> Begun:
    """The first round trip: take the lock, and fold the tail under it. Raises Rewound and ClockSkew; the caller disconnects."""
    while True:
        asked_at = time.monotonic()
        with connection.pipeline():
            locked = _take_lock(connection)
            tail_read = connection.execute(statements.TAIL, (replica.position, TAIL_MAX + 1), prepare=True, binary=True)
            repeats = (
                connection.execute(statements.REPEATED, (replica.org, list(idempotency_keys)), binary=True) if idempotency_keys else None
            )
            seen = connection.execute(statements.SOUGHT, (*columns(sought), replica.org), binary=True) if sought else None
        locked_at = time.monotonic()
        tail = tail_read.fetchall()
        if len(tail) <= TAIL_MAX:
            break
        # Decoding so much takes too long to hold the lock for it.
        connection.execute("ROLLBACK")
        read_to_end(connection, replica)
    replica.fold_tail(tail)
    now = batch_time(database_time=locked.fetchall()[0][0], head_time=replica.at)
    known = {key: Remembered(digest, position, events) for key, digest, position, events in (repeats.fetchall() if repeats else ())}
    found = {Sought(kind, hmac): str(reference) for kind, hmac, reference in (seen.fetchall() if seen else ())}
    return Begun(asked_at, locked_at, now, known, found)


def write(connection: Connection, batch: Batch, org: str) -> None:
    """The second round trip: all of the batch, or nothing."""
    with connection.pipeline():
        if batch.rows:
            connection.execute(statements.INSERT, columns(batch.rows), prepare=True)
        if batch.erased:
            connection.execute(statements.ERASE, (*columns(batch.erased), org))
        if batch.forgettable:
            connection.execute(statements.FORGETTABLE, (org, *columns(batch.forgettable.values())))
        if batch.remembered:
            keys, first = list(batch.remembered), list(batch.remembered.values())
            arrays = keys, [each.digest for each in first], [each.position for each in first], [each.events for each in first]
            connection.execute(statements.REMEMBER, (org, batch.now, *arrays))
        connection.execute(statements.NOTIFY, (str(batch.position),), prepare=True)
        connection.execute("COMMIT", prepare=False)


def stands(connection: Connection, row: Row) -> bool:
    """Whether the log has this very row. Takes the lock first: a transaction that wrote it and was lost has then ended."""
    with connection.pipeline():
        _take_lock(connection)
        read = connection.execute(statements.TAIL, (row.position, 1), prepare=True, binary=True)
        connection.execute("COMMIT", prepare=False)
    found = read.fetchone()
    return found is not None and (found[0], found[-1]) == (row.position, row.hash)


def _take_lock(connection: Connection) -> psycopg.Cursor[tuple[Any, ...]]:
    """Answers the time at which it is held."""
    connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED", prepare=False)
    return connection.execute(statements.TAKE_LOCK, (str(GUARD_MS), statements.LOG_LOCK), prepare=True, binary=True)


def database_time(connection: Connection) -> datetime:
    time_read: datetime = connection.execute(statements.CLOCK, prepare=True, binary=True).fetchall()[0][0]
    return time_read


def batch_time(*, database_time: datetime, head_time: datetime) -> datetime:
    """Never before the head's; raises ClockSkew when a clock must be wrong."""
    if abs(database_time - datetime.now(UTC)) > CLOCK_SKEW_MAX:
        raise ClockSkew("this process's clock and the database's differ by more than 30 s")
    if database_time < head_time - CLOCK_SKEW_MAX:
        raise ClockSkew("the database's clock is more than 30 s behind the log")
    return max(head_time, database_time)
