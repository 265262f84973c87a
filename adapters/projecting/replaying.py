"""Building read models again beside those that are asked, and putting the new ones in their place in one short transaction.

Killed at any point, it leaves the old ones where they were; what it had built is thrown away by the next one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psycopg

from adapters.log.connection import CONNECT_TIMEOUT_S
from adapters.log.recorder import LogRecorder
from adapters.projecting.advancing import LIVE, SESSION, Connection, ReadModel, Tracked, advance, catch_up, check_place, prepare, read

NEXT: Final = "read_next"
REPLAY_LOCK: Final = 0x6C65_6467_6572_0003
"""One replay at a time; a session's."""
SWITCH_ROWS_MAX: Final = 1_000
"""What may still be missing when the old ones are held still: a matter of milliseconds."""
SWITCH_LOCK_WAIT_MS: Final = 250
"""Longer than that, a question that is being answered would make all others wait behind the switch."""
SWITCH_ATTEMPTS_MAX: Final = 100

Progress = Callable[[int, int], None]
"""Told the position reached and the log's head."""


class ReplayUnderWay(Exception):  # noqa: N818
    """Another replay is at work on this database."""


class TooFarBehind(Exception):  # noqa: N818
    """Nothing is held still for as long as this would take to catch up."""


class NotSwitched(Exception):  # noqa: N818
    """The rebuilt read models could not be put in place: the old ones were in use all the time."""


def replay(url: str, models: Sequence[ReadModel], on_progress: Progress = lambda _position, _head: None) -> int:
    """Answers the position at which the new ones took over. Raises ReplayUnderWay and NotSwitched."""
    session = f"{SESSION} -c search_path={NEXT}"
    with psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, options=session, application_name="gateway replay"
    ) as connection:
        if not connection.execute("SELECT pg_try_advisory_lock(%s)", (REPLAY_LOCK,)).fetchall()[0][0]:
            raise ReplayUnderWay
        prepare(connection, LIVE, models)
        connection.execute(f"DROP SCHEMA IF EXISTS {NEXT} CASCADE".encode())
        prepare(connection, NEXT, models)
        recorder = LogRecorder(url, connections=1)
        try:
            place = _built(connection, recorder, models, on_progress)
        finally:
            recorder.close()
        connection.execute(f"DROP SCHEMA {NEXT} CASCADE".encode())
        return place.position


def _built(connection: Connection, recorder: LogRecorder, models: Sequence[ReadModel], on_progress: Progress) -> Tracked:
    place, head = Tracked(), recorder.head()
    for _ in range(SWITCH_ATTEMPTS_MAX):
        place = catch_up(connection, recorder, models, place, lambda at: on_progress(at.position, max(at.position, head)))
        with suppress(psycopg.errors.LockNotAvailable, TooFarBehind):
            return _switched(connection, recorder, models, place)
    raise NotSwitched


def _switched(connection: Connection, recorder: LogRecorder, models: Sequence[ReadModel], place: Tracked) -> Tracked:
    """The old ones are held still, the new ones brought at least as far, and then they change places."""
    names = [model.NAME for model in models]
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = {SWITCH_LOCK_WAIT_MS}".encode())
        held = f"SELECT max(position) FROM (SELECT position FROM {LIVE}.tracking WHERE name = ANY(%s) ORDER BY name FOR UPDATE) AS live"  # noqa: S608
        target = connection.execute(held.encode(), (names,)).fetchall()[0][0]
        if target - place.position > SWITCH_ROWS_MAX:
            raise TooFarBehind
        if target > place.position and (batch := read(recorder, place, SWITCH_ROWS_MAX, models)) is not None:
            advance(connection, models, batch)
            place = batch.end
        check_place(connection, names, place)
        # In the order that those who ask take theirs, or both might wait for each other.
        live = ", ".join(sorted(f"{LIVE}.{table.name}" for model in models for table in model.TABLES))
        connection.execute(f"LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE".encode())
        for model in models:
            _change_places(connection, model)
        moved = f"UPDATE {LIVE}.tracking SET position = %s, hash = %s WHERE name = ANY(%s)"  # noqa: S608
        connection.execute(moved.encode(), (*place, names))
    return place


def _change_places(connection: Connection, model: ReadModel) -> None:
    for table in model.TABLES:
        connection.execute(f"DROP TABLE {LIVE}.{table.name}".encode())
        connection.execute(f"ALTER TABLE {NEXT}.{table.name} SET SCHEMA {LIVE}".encode())
