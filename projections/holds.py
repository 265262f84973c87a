"""Money that is held now: each open completion's holds, and who answers for it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.completion.events import CompletionAdmitted, CompletionHoldRaised, CompletionReadmitted, CompletionSettled, Hold
from domain.kernel import Recorded
from projections.reading import Connection, fetched
from projections.tables import Cursor, Key, Row, Table

NAME: Final = "holds"
EVENTS: Final = (CompletionAdmitted, CompletionReadmitted, CompletionHoldRaised, CompletionSettled)

HOLDS: Final = Table(
    "holds",
    key={"org": "text", "completion_id": "text", "budget_id": "text", "generation": "bigint", "period_start": "timestamptz"},
    values={"nanos": "bigint", "api_key_id": "text", "owner": "text", "admitted_at": "timestamptz"},
    indexes=("(org, budget_id, generation, completion_id)",),
)
TABLES: Final = (HOLDS,)


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    """Most completions that begin in a batch end in it, and leave no trace here."""
    held: dict[Key, dict[Key, Row]] = defaultdict(dict)
    ended: set[Key] = set()
    held.update(_raised_before(batch, cursor))
    for recorded in batch:
        completion = recorded.org, recorded.id
        match recorded.event:
            case CompletionAdmitted() as admitted:
                held[completion] = dict(_rows(completion, admitted, recorded.at))
            case CompletionReadmitted(admitted=admitted):
                held[completion] = dict(_rows(completion, admitted, recorded.at))
            case CompletionHoldRaised(holds=holds):
                _raise(held[completion], completion, holds)
            case CompletionSettled():
                held.pop(completion, None)
                ended.add(completion)
    HOLDS.remove(cursor, ended)
    HOLDS.save(cursor, {key: row for rows in held.values() for key, row in rows.items()})


def _rows(completion: Key, admitted: CompletionAdmitted, at: datetime) -> Iterable[tuple[Key, Row]]:
    for hold in admitted.holds:
        facts = {"nanos": hold.nanos, "api_key_id": admitted.api_key_id, "owner": admitted.owner, "admitted_at": at}
        yield (*completion, hold.budget_id, hold.generation, hold.period_start), facts


def _raised_before(batch: Sequence[Recorded[Any]], cursor: Cursor) -> dict[Key, dict[Key, Row]]:
    """Holds of earlier batches that this one raises."""
    keys = [
        (recorded.org, recorded.id, hold.budget_id, hold.generation, hold.period_start)
        for recorded in batch
        if isinstance(recorded.event, CompletionHoldRaised)
        for hold in recorded.event.holds
    ]
    found: dict[Key, dict[Key, Row]] = defaultdict(dict)
    for key, row in HOLDS.load(cursor, keys).items():
        found[key[:2]][key] = row
    return found


def _raise(rows: dict[Key, Row], completion: Key, holds: Iterable[Hold]) -> None:
    for hold in holds:
        row = rows.get((*completion, hold.budget_id, hold.generation, hold.period_start))
        if row is not None:
            row["nanos"] += hold.nanos


class Held(NamedTuple):
    completion_id: str
    api_key_id: str
    period_start: datetime
    nanos: int
    admitted_at: datetime
    owner: str


SELECT: Final = f"""
SELECT {", ".join(Held._fields)} FROM {HOLDS.name}
WHERE org = %(org)s AND budget_id = %(budget_id)s AND generation = %(generation)s AND completion_id > %(after)s
ORDER BY completion_id LIMIT %(limit)s
"""  # noqa: S608


async def on_budget(connection: Connection, org: str, budget_id: str, generation: int, *, after: str, limit: int) -> list[Held]:
    """In the order of admission, which is that of the ids."""
    asked = {"org": org, "budget_id": budget_id, "generation": generation, "after": after, "limit": limit}
    return await fetched(connection, Held, SELECT, asked)
