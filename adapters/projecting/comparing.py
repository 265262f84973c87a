"""Whether read models equal the log: each is built again from its beginning and compared with what is asked, both ways.

All of it in one transaction that is rolled back: it sees the live ones as they are at its beginning, and leaves nothing.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import psycopg

from adapters.log.connection import CONNECT_TIMEOUT_S
from adapters.log.recorder import LogRecorder
from adapters.projecting.advancing import LIVE, SESSION, TRACKING, Connection, ReadModel, Table, Tracked, catch_up, make, tracked

ROWS_SHOWN_MAX: Final = 3

Progress = Callable[[int, int], None]


class Difference(NamedTuple):
    """What is wrong with a read model."""

    read_model: str
    message: str


class Comparison(NamedTuple):
    """`positions`: how far each read model had come, and so was compared."""

    positions: dict[str, int]
    differences: list[Difference]


def compare(url: str, models: Sequence[ReadModel], on_progress: Progress = lambda _position, _end: None) -> Comparison:
    """Those that aren't there are not compared."""
    session = f"{SESSION} -c default_transaction_isolation=repeatable\\ read"
    recorder = LogRecorder(url, connections=1)
    try:
        with (
            psycopg.connect(
                url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, options=session, application_name="gateway verify"
            ) as connection,
            connection.transaction(force_rollback=True),
        ):
            return _compared(connection, recorder, models, on_progress)
    finally:
        recorder.close()


def _compared(connection: Connection, recorder: LogRecorder, models: Sequence[ReadModel], on_progress: Progress) -> Comparison:
    places = _live(connection)
    there = [model for model in models if model.NAME in places]
    scratch = f"read_verify_{os.getpid()}"
    connection.execute(f"CREATE SCHEMA {scratch}".encode())
    connection.execute(f"SET LOCAL search_path = {scratch}".encode())
    connection.execute(TRACKING)
    differences: list[Difference] = []
    end = max([place.position for place in places.values()], default=0)
    for place in sorted({places[model.NAME] for model in there}):
        level = [model for model in there if places[model.NAME] == place]
        for model in level:
            make(connection, model)
        differences += _rebuilt(connection, recorder, level, place, lambda position: on_progress(position, end))
    connection.execute("SET LOCAL enable_hashjoin = on; SET LOCAL enable_seqscan = on")
    for model in there:
        differences += [found for table in model.TABLES for found in _differences(connection, model.NAME, table, scratch)]
    return Comparison({name: place.position for name, place in places.items()}, differences)


def _live(connection: Connection) -> dict[str, Tracked]:
    found = connection.execute("SELECT to_regclass(%s)::text", (f"{LIVE}.tracking",)).fetchall()[0][0]
    if found is None:
        return {}
    connection.execute(f"SET LOCAL search_path = {LIVE}".encode())
    return tracked(connection)


def _rebuilt(
    connection: Connection, recorder: LogRecorder, models: Sequence[ReadModel], end: Tracked, on_progress: Callable[[int], None]
) -> Iterator[Difference]:
    """What can't be built again is different. Its rows, as far as they came, are compared all the same."""
    places = [Tracked()]

    def note(place: Tracked) -> None:
        places.append(place)
        on_progress(place.position)

    try:
        catch_up(connection, recorder, models, Tracked(), note, until=end.position)
    except Exception as error:  # noqa: BLE001
        far = places[-1].position
        yield from (Difference(model.NAME, f"can't be built beyond position {far}: {type(error).__name__}") for model in models)
    place = places[-1]
    if place.position == end.position and place != end:
        yield from (Difference(model.NAME, f"has come to position {end.position} of another log than this one") for model in models)


def _differences(connection: Connection, name: str, table: Table, scratch: str) -> Iterator[Difference]:
    keys = ", ".join(table.key)
    statement = f"""
        SELECT concat_ws(', ', {keys}), live IS NULL, fresh IS NULL, count(*) OVER ()
        FROM {LIVE}.{table.name} AS live FULL JOIN {scratch}.{table.name} AS fresh USING ({keys})
        WHERE to_jsonb(live) IS DISTINCT FROM to_jsonb(fresh) ORDER BY {keys} LIMIT %s
    """  # noqa: S608
    rows = connection.execute(statement.encode(), (ROWS_SHOWN_MAX,)).fetchall()
    for key, is_missing, is_invented, _ in rows:
        verdict = "is missing" if is_missing else "does not follow from the log" if is_invented else "is not what the log says"
        yield Difference(name, f"{table.name} ({key}) {verdict}")
    if rows and rows[0][3] > len(rows):
        yield Difference(name, f"{table.name}: and {rows[0][3] - len(rows)} more rows")
