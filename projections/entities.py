"""Things with a life of their own (a team, a key, a model): one row each, folded from the events of one stream."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from domain.kernel import Event, Recorded
from projections.tables import Cursor, Row, Table

DELETED: Final = "deleted"
KEY: Final = {"org": "text", "id": "text"}
LIFE: Final = {"status": "text", "created_at": "timestamptz", "updated_at": "timestamptz", "version": "bigint"}
"""What every one of them has. `version` is the stream's."""

Fold = Callable[[Row | None, Recorded[Any]], Row | None]
"""From a row (None: there is none, or it is deleted) and an event to the row then; None: nothing changes."""


def project_entities(table: Table, fold: Fold, batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    rows = table.load(cursor, {(recorded.org, recorded.id) for recorded in batch})
    for recorded in batch:
        key = recorded.org, recorded.id
        row = fold(rows.get(key), recorded)
        if row is not None:
            rows[key] = {**row, "updated_at": recorded.at, "version": recorded.version}
    table.save(cursor, rows)


def lifecycle(created: type[Event], statuses: Mapping[type[Event], str]) -> Fold:
    """Of what is made by one event; of the others, those with a status lead to it, and the rest say anew what columns are."""

    def fold(row: Row | None, recorded: Recorded[Any]) -> Row | None:
        event = recorded.event
        if type(event) is created:
            return dict(event) | {"status": statuses[created], "created_at": recorded.at}
        if row is None or row["status"] == DELETED:
            return None
        status = statuses.get(type(event))
        return row | (dict(event) if status is None else {"status": status})

    return fold
