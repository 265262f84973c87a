"""What stands in the log, read by other code than the writer's, and checked against its format."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from adapters.log.chain import GENESIS, link
from adapters.log.statements import LOG_LOCK
from domain.time import unix_micros


class Stored(NamedTuple):
    position: int
    stream: str
    version: int
    topic: str
    at: Any
    org: str
    by: str
    correlation_id: str
    causation_id: str | None
    state: bytes
    hash: bytes


def stored(url: str) -> list[Stored]:
    query = """
        SELECT notification_id, originator_id, originator_version, topic, at, org, by, correlation_id, causation_id, state, hash
        FROM stored_events ORDER BY notification_id
    """
    with psycopg.connect(url) as connection:
        return [Stored(*row) for row in connection.execute(query)]


def sound(url: str) -> list[Stored]:
    """All rows, after a check of what always holds: positions and versions without gaps, time that never goes back, the chain."""
    rows = stored(url)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    versions: Counter[str] = Counter()
    previous = None
    for row in rows:
        versions[row.stream] += 1
        assert row.version == versions[row.stream]
        assert previous is None or row.at >= previous.at
        parts = (row.position, row.version, row.stream, row.topic, unix_micros(row.at), row.org, row.by, row.correlation_id)
        assert row.hash == link(GENESIS if previous is None else previous.hash, *parts, row.causation_id, row.state)
        previous = row
    return rows


def correlations(url: str) -> Counter[str]:
    """How many events each request led to."""
    return Counter(row.correlation_id for row in sound(url))


@contextmanager
def lock_held(url: str) -> Iterator[None]:
    """No batch gets further than its wait for the lock."""
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        yield
