"""Asking a read model."""

from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.rows import class_row

from projections.entities import DELETED
from projections.tables import Table

Connection = psycopg.AsyncConnection[Any]

R = TypeVar("R", bound=NamedTuple)


async def rows_of(connection: Connection, table: Table, kind: type[R], org: str, identity: str | None = None) -> list[R]:
    """Of a table of entities those that aren't deleted, by id; the columns are the fields of `kind`. JSON comes parsed."""
    columns = ", ".join(kind._fields)
    one = "" if identity is None else "AND id = %(id)s"
    statement = f"SELECT {columns} FROM {table.name} WHERE org = %(org)s AND status <> %(deleted)s {one} ORDER BY id COLLATE \"C\""  # noqa: S608
    return await fetched(connection, kind, statement, {"org": org, "id": identity, "deleted": DELETED})


async def fetched(connection: Connection, kind: type[R], statement: str, values: dict[str, Any]) -> list[R]:
    async with connection.cursor(row_factory=class_row(kind), binary=True) as cursor:
        return await (await cursor.execute(statement.encode(), values)).fetchall()
