"""One step: a page of the log into read models, in a transaction that holds their rows and how far they have come."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import psycopg

from adapters.log.chain import GENESIS
from adapters.log.codec import recorded
from adapters.log.connection import CONNECT_TIMEOUT_S
from adapters.log.recorder import LogRecorder, Page
from domain.kernel import Event, Recorded

LIVE: Final = "read"
"""The PostgreSQL schema of the read models that are asked. Others are built beside it."""

PAGE_ROWS: Final = 5_000
"""Of a step that nobody waits for."""

SESSION: Final = "-c TimeZone=UTC -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
"""Read models are advanced by look-ups of keys alone: a plan made while a table was small must not read all of it ever after."""

TRACKING: Final = "CREATE TABLE IF NOT EXISTS tracking (name text PRIMARY KEY, position bigint NOT NULL, hash bytea NOT NULL)"

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]


class Table(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def key(self) -> Mapping[str, str]: ...

    @property
    def create(self) -> str: ...


class ReadModel(Protocol):
    """A module of `projections`. Changed, it gets a new name, and is built beside the old one."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 (a module's constants)

    @property
    def EVENTS(self) -> Sequence[type[Event]]: ...  # noqa: N802

    @property
    def TABLES(self) -> Sequence[Table]: ...  # noqa: N802

    def project(self, batch: Sequence[Recorded[Any]], cursor: Cursor, /) -> None: ...


class Tracked(NamedTuple):
    """How far a read model has come: the last position that it holds, and the hash that stood there."""

    position: int = 0
    hash: bytes = GENESIS


class Rewound(Exception):  # noqa: N818
    """The event that a read model has come to is not in the log any more: the log lost its end and went on differently."""


class Overtaken(Exception):  # noqa: N818
    """A read model has moved since it was looked at: it was switched, or somebody else advances it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A page, decoded once for all."""

    events: Sequence[Recorded[Any]]
    """Those that anybody folds."""
    start: Tracked
    end: Tracked
    rows: int


def prepare(connection: Connection, schema: str, models: Iterable[ReadModel]) -> None:
    """Make whatever isn't there, at the log's beginning. Several processes may do it at once."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"prepare {schema}",))
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
        connection.execute(f"SET LOCAL search_path = {schema}".encode())
        connection.execute(TRACKING)
        there = tracked(connection)
        for model in models:
            if model.NAME not in there:
                make(connection, model)


def prepare_live(url: str, models: Iterable[ReadModel]) -> None:
    """So that they can be asked, whether or not a projector has ever run."""
    with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="gateway projector") as connection:
        prepare(connection, LIVE, models)


def make(connection: Connection, model: ReadModel) -> None:
    """In the schema that the search path names."""
    for table in model.TABLES:
        connection.execute(table.create.encode())
    connection.execute("INSERT INTO tracking VALUES (%s, %s, %s)", (model.NAME, *Tracked()))


def reset(connection: Connection, model: ReadModel) -> None:
    """Back to the beginning."""
    with connection.transaction():
        connection.execute("SELECT FROM tracking WHERE name = %s FOR UPDATE", (model.NAME,))
        for table in model.TABLES:
            connection.execute(f"DELETE FROM {table.name}".encode())  # noqa: S608 (TRUNCATE would wait for readers, and they for it)
        _track(connection, [model.NAME], Tracked())


def tracked(connection: Connection) -> dict[str, Tracked]:
    found = connection.execute("SELECT name, position, hash FROM tracking", binary=True).fetchall()
    return {name: Tracked(position, hash_) for name, position, hash_ in found}


def read(recorder: LogRecorder, start: Tracked, limit: int, models: Iterable[ReadModel], *, until: int | None = None) -> Batch | None:
    """What follows, at most `limit` events and none after `until`; None: nothing does. Raises Rewound."""
    page = recorder.page(start.position or 1, limit + bool(start.position))
    if start.position:
        if not page or (page[0][0], page[0][-1]) != start:
            raise Rewound
        del page[0]
    if until is not None:
        page = page[: max(0, until - start.position)]
    if not page:
        return None
    return Batch(_decoded(page, models), start, Tracked(page[-1][0], page[-1][-1]), len(page))


@contextmanager
def without_collector() -> Iterator[None]:
    """Around a step. Events are many objects and no cycles: looking for those took as long as decoding (measured)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def advance(connection: Connection, models: Sequence[ReadModel], batch: Batch) -> None:
    """All of them, or none. Raises Overtaken where one doesn't stand at the batch's start."""
    names = [model.NAME for model in models]
    with connection.transaction(), connection.cursor() as cursor:
        check_place(connection, names, batch.start)
        for model in models:
            project(model, batch, cursor)
        _track(connection, names, batch.end)


def catch_up(
    connection: Connection,
    recorder: LogRecorder,
    models: Sequence[ReadModel],
    place: Tracked,
    on_place: Callable[[Tracked], None],
    *,
    until: int | None = None,
) -> Tracked:
    """In large steps to the log's end, as it is then, or to a position; `on_place` is told of each step. Raises Rewound and Overtaken."""
    rows = PAGE_ROWS
    while rows == PAGE_ROWS:
        with without_collector():
            batch = read(recorder, place, PAGE_ROWS, models, until=until)
            if batch is None:
                break
            advance(connection, models, batch)
            place, rows = batch.end, batch.rows
            del batch
        on_place(place)
    return place


def check_place(connection: Connection, names: Sequence[str], start: Tracked) -> None:
    """Nobody else moves them until the transaction ends. Raises Overtaken."""
    locked = "SELECT position, hash FROM tracking WHERE name = ANY(%s) ORDER BY name FOR UPDATE"
    places = connection.execute(locked, (list(names),), binary=True, prepare=True).fetchall()
    if len(places) < len(names) or any(place != start for place in places):
        raise Overtaken


def project(model: ReadModel, batch: Batch, cursor: Cursor) -> None:
    kinds = set(model.EVENTS)
    events = [event for event in batch.events if type(event.event) in kinds]
    if events:
        model.project(events, cursor)


def _track(connection: Connection, names: Sequence[str], place: Tracked) -> None:
    moved = "UPDATE tracking SET position = %s, hash = %s WHERE name = ANY(%s)"
    connection.execute(moved, (*place, list(names)), prepare=True)


def _decoded(page: Page, models: Iterable[ReadModel]) -> list[Recorded[Any]]:
    """A topic that nobody folds isn't decoded; one that can't be read comes as an UnknownEvent, which nobody folds."""
    topics = {kind.topic for model in models for kind in model.EVENTS}
    return [recorded(row) for row in page if row[3] in topics]
