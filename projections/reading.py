"""Asking a read model."""

from typing import Any, Generic, NamedTuple, TypeVar

import psycopg
from psycopg.rows import class_row

from projections.entities import DELETED
from projections.tables import Table

Connection = psycopg.AsyncConnection[Any]

R = TypeVar("R", bound=NamedTuple)
T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """At most as many rows as were asked for, and whether there are more."""

    rows: list[T]
    more: bool


def page_of(rows: list[T], limit: int) -> Page[T]:
    """Of one row more than was asked for."""
    return Page(rows[:limit], len(rows) > limit)


async def rows_of(connection: Connection, table: Table, kind: type[R], org: str, identity: str | None = None) -> list[R]:
    """Of a table of entities those that aren't deleted, by id; the columns are the fields of `kind`. JSON comes parsed."""
    columns = ", ".join(kind._fields)
    one = "" if identity is None else "AND id = %(id)s"
    statement = f'SELECT {columns} FROM {table.name} WHERE org = %(org)s AND status <> %(deleted)s {one} ORDER BY id COLLATE "C"'  # noqa: S608
    return await fetched(connection, kind, statement, {"org": org, "id": identity, "deleted": DELETED})


async def fetched(connection: Connection, kind: type[R], statement: str, values: dict[str, Any]) -> list[R]:
    async with connection.cursor(row_factory=class_row(kind), binary=True) as cursor:
        return await (await cursor.execute(statement.encode(), values)).fetchall()
