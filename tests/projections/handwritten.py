"""A log written by hand, and read models fed from it: given these events, then these rows."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from adapters.log import statements
from adapters.log.chain import GENESIS, link
from adapters.log.codec import Row, columns, encode, recorded
from adapters.log.recorder import LogRecorder
from adapters.projecting.advancing import LIVE, Batch, ReadModel, Tracked, advance, prepare, read, reset, tracked
from adapters.read_models import SESSION
from domain.fold import fold
from domain.kernel import Event
from domain.state import State
from domain.time import unix_micros
from projections import READ_MODELS

BEGAN = datetime(2026, 3, 4, 9, tzinfo=UTC)
Said = tuple[str, Event | bytes]
"""Of `team/a`, say, an event; or what stands there that nobody can read."""


@dataclass
class HandwrittenLog:
    """Each event a second after the one before, unless said otherwise."""

    url: str
    at: datetime = BEGAN
    position: int = 0
    hash: bytes = GENESIS
    versions: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def write(self, *said: Said, every: timedelta = timedelta(seconds=1), topic: str = "unheard.of.v1") -> None:
        new = [self._next(f"main/{name}", event, every, topic) for name, event in said]
        with psycopg.connect(self.url, autocommit=True) as connection, connection.transaction():
            connection.execute(statements.INSERT, columns(new))
            connection.execute(statements.NOTIFY, (str(self.position),))
        self.rows += new

    def _next(self, stream: str, event: Event | bytes, every: timedelta, topic: str) -> Row:
        self.position, self.at = self.position + 1, self.at + every
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        state, topic = (event, topic) if isinstance(event, bytes) else (encode(event), event.topic)
        self.hash = link(
            self.hash, self.position, version, stream, topic, unix_micros(self.at), "main", "key:admin", "request", None, state
        )
        return Row(self.position, stream, version, topic, self.at, "main", "key:admin", "request", None, state, self.hash)

    def clear(self) -> None:
        """Whatever stands in the database's log."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DELETE FROM stored_events")

    @property
    def state(self) -> State:
        """What every process folds of it."""
        state = State()
        for row in self.rows:
            fold(state, recorded(row))
        return state


def projected(url: str, *, schema: str = LIVE, batch: Sequence[int] = (1_000,), models: Sequence[ReadModel] = READ_MODELS) -> list[Batch]:
    """To the log's end, in batches of these sizes, over and over."""
    batches: list[Batch] = []
    with closing(LogRecorder(url, connections=1)) as recorder, connected(url, schema) as connection:
        prepare(connection, schema, models)
        place = tracked(connection)[models[0].NAME]
        while (following := read(recorder, place, batch[len(batches) % len(batch)], models)) is not None:
            advance(connection, models, following)
            place = following.end
            batches.append(following)
    return batches


def emptied(url: str, schema: str) -> None:
    """Faster than making them anew."""
    with connected(url, schema) as connection, connection.transaction():
        prepare(connection, schema, READ_MODELS)
        for model in READ_MODELS:
            reset(connection, model)


def connected(url: str, schema: str = LIVE) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True, options=f"-c search_path={schema} -c TimeZone=UTC")


def rows(url: str, table: str, columns: str = "*", *, schema: str = LIVE) -> list[tuple[Any, ...]]:
    """Ordered by all there is."""
    with connected(url, schema) as connection:
        return _rows(connection, table, columns)


def _rows(connection: psycopg.Connection[Any], table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {columns} FROM {table} AS t ORDER BY to_jsonb(t)::text".encode()).fetchall()


def everything(url: str, schema: str = LIVE) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all read models."""
    with connected(url, schema) as connection:
        return {table.name: _rows(connection, table.name) for model in READ_MODELS for table in model.TABLES}


def place(url: str, name: str) -> Tracked:
    with connected(url) as connection:
        return tracked(connection)[name]


async def asking(url: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(url, autocommit=True, options=SESSION)
