"""A read model's table: how it is made, and how a batch reaches it: rows loaded, folded and saved whole, or amounts added up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import psycopg
from pydantic import BaseModel

Cursor = psycopg.Cursor[tuple[Any, ...]]
Key = tuple[Any, ...]
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Every statement over many rows takes one array per column: a round trip, whatever their number."""

    name: str
    key: Mapping[str, str]
    """From column to type; so are values."""
    values: Mapping[str, str]
    indexes: tuple[str, ...] = ()
    """What each is on: `(api_key_id, admitted_at)`."""

    @cached_property
    def create(self) -> str:
        columns = [f"{name} {kind} NOT NULL" for name, kind in self.key.items()] + [f"{name} {kind}" for name, kind in self.values.items()]
        table = f"CREATE TABLE {self.name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(self.key)}));\n"
        return table + "".join(f"CREATE INDEX ON {self.name} {columns};\n" for columns in self.indexes)

    def load(self, cursor: Cursor, keys: Iterable[Key]) -> dict[Key, Row]:
        """Those of `keys` that are there. JSON is loaded as text."""
        distinct = sorted(set(keys))
        if not distinct:
            return {}
        found = cursor.execute(self._load.encode(), _transposed(distinct), binary=True).fetchall()
        return {row[: len(self.key)]: dict(zip(self._columns, row, strict=True)) for row in found}

    def save(self, cursor: Cursor, rows: Mapping[Key, Row]) -> None:
        """Each whole, over what was there. Columns that a row doesn't name are null."""
        self._write(cursor, self._save, rows)

    def add(self, cursor: Cursor, amounts: Mapping[Key, Row]) -> None:
        """To what is there, or to nothing."""
        self._write(cursor, self._add, amounts)

    def remove(self, cursor: Cursor, keys: Iterable[Key]) -> None:
        """Keys may be the first columns of whole keys: all rows that begin so are removed."""
        distinct = sorted(set(keys))
        if distinct:
            columns = list(self.key.items())[: len(distinct[0])]
            matched = f"({', '.join(name for name, _ in columns)}) IN (SELECT * FROM unnest({_parameters(dict(columns))}))"
            cursor.execute(f"DELETE FROM {self.name} WHERE {matched}".encode(), _transposed(distinct))  # noqa: S608 (our own words)

    def _write(self, cursor: Cursor, statement: str, rows: Mapping[Key, Row]) -> None:
        ordered = [(*key, *(self._stored(name, rows[key].get(name)) for name in self.values)) for key in sorted(rows)]
        if ordered:
            cursor.execute(statement.encode(), _transposed(ordered))

    def _stored(self, column: str, value: Any) -> Any:
        return value if value is None or self.values[column] != "jsonb" or isinstance(value, str) else json_text(value)

    @cached_property
    def _columns(self) -> dict[str, str]:
        return {**self.key, **self.values}

    @cached_property
    def _load(self) -> str:
        selected = ", ".join(f"{name}::text" if kind == "jsonb" else name for name, kind in self._columns.items())
        keys = ", ".join(self.key)
        return f"SELECT {selected} FROM {self.name} WHERE ({keys}) IN (SELECT * FROM unnest({_parameters(self.key)}))"  # noqa: S608

    @cached_property
    def _insert(self) -> str:
        columns = ", ".join(self._columns)
        selected = ", ".join(f"{name}::jsonb" if kind == "jsonb" else name for name, kind in self._columns.items())
        rows = f"unnest({_parameters(self._columns)}) AS given ({columns})"
        return f"INSERT INTO {self.name} AS present ({columns}) SELECT {selected} FROM {rows} ON CONFLICT ({', '.join(self.key)})"  # noqa: S608

    @cached_property
    def _save(self) -> str:
        return f"{self._insert} DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in self.values)}"

    @cached_property
    def _add(self) -> str:
        return f"{self._insert} DO UPDATE SET {', '.join(f'{name} = present.{name} + excluded.{name}' for name in self.values)}"


def json_text(value: Any) -> str:
    """The same text for the same value in every process, so sets are sorted."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z).decode()


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return dict(value)
        case frozenset():
            return sorted(value)
    raise TypeError(type(value).__name__)


def _parameters(columns: Mapping[str, str]) -> str:
    return ", ".join(f"%b::{'text' if kind == 'jsonb' else kind}[]" for kind in columns.values())


def _transposed(rows: list[Any]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
