"""A read model's table: how it is made, and how a batch reaches it: rows loaded, folded and saved whole, or amounts added up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import psycopg
from pydantic import BaseModel

from domain.kernel import Event

Cursor = psycopg.Cursor[tuple[Any, ...]]
Key = tuple[Any, ...]
Row = dict[str, Any]
Kinds = tuple[type[Event], ...]


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
        if rows:
            keys = sorted(rows)
            ordered = [rows[key] for key in keys]
            values = [[_stored(row.get(name), kind) for row in ordered] for name, kind in self.values.items()]
            cursor.execute(self._save.encode(), _transposed(keys) + values, prepare=True)

    def add(self, cursor: Cursor, amounts: Mapping[Key, Sequence[int]]) -> None:
        """To what is there, or to nothing. Amounts are in the order of `values`."""
        if amounts:
            keys = sorted(amounts)
            cursor.execute(self._add.encode(), _transposed([(*key, *amounts[key]) for key in keys]), prepare=True)

    def remove(self, cursor: Cursor, keys: Iterable[Key]) -> None:
        """Keys may be the first columns of whole keys: all rows that begin so are removed."""
        distinct = sorted(set(keys))
        if distinct:
            columns = list(self.key.items())[: len(distinct[0])]
            names, arrays = ", ".join(name for name, _ in columns), _parameters(dict(columns))
            statement = f"DELETE FROM {self.name} WHERE ({names}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608 (our own words)
            cursor.execute(statement.encode(), _transposed(distinct))

    @cached_property
    def _columns(self) -> dict[str, str]:
        return {**self.key, **self.values}

    @cached_property
    def _load(self) -> str:
        selected = ", ".join(f"{name}::text" if kind == "json" else name for name, kind in self._columns.items())
        keys = ", ".join(self.key)
        return f"SELECT {selected} FROM {self.name} WHERE ({keys}) IN (SELECT * FROM unnest({_parameters(self.key)}))"  # noqa: S608

    @cached_property
    def _insert(self) -> str:
        columns = ", ".join(self._columns)
        selected = ", ".join(f"{name}::json" if kind == "json" else name for name, kind in self._columns.items())
        rows = f"unnest({_parameters(self._columns)}) AS given ({columns})"
        return f"INSERT INTO {self.name} AS present ({columns}) SELECT {selected} FROM {rows} ON CONFLICT ({', '.join(self.key)})"  # noqa: S608

    @cached_property
    def _save(self) -> str:
        return f"{self._insert} DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in self.values)}"

    @cached_property
    def _add(self) -> str:
        return f"{self._insert} DO UPDATE SET {', '.join(f'{name} = present.{name} + excluded.{name}' for name in self.values)}"


def _stored(value: Any, kind: str) -> Any:
    return value if value is None or kind != "json" or type(value) is str else json_text(value)


def json_text(value: Any) -> str:
    """The same text for the same value in every process, so sets are sorted."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z).decode()


def parsed(stored: Any) -> Any:
    """A value of a JSON column: loaded from the table it is text, folded a moment ago it isn't."""
    return orjson.loads(stored) if isinstance(stored, str) else stored


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return dict(value)
        case frozenset():
            return sorted(value)
    raise TypeError(type(value).__name__)


def _parameters(columns: Mapping[str, str]) -> str:
    return ", ".join(f"%b::{'text' if kind == 'json' else kind}[]" for kind in columns.values())


def _transposed(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
