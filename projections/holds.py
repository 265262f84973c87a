"""Money that is held now: each open completion's holds, and who answers for it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.completion.events import CompletionAdmitted, CompletionHoldRaised, CompletionReadmitted, CompletionSettled, Hold
from domain.kernel import Recorded
from projections.reading import Connection, Page, fetched, page_of
from projections.tables import Cursor, Key, Kinds, Row, Table

NAME: Final = "holds"
EVENTS: Final[Kinds] = (CompletionAdmitted, CompletionReadmitted, CompletionHoldRaised, CompletionSettled)

HOLDS: Final = Table(
    "holds",
    key={"org": "text", "completion_id": "text", "budget_id": "text", "generation": "bigint", "period_start": "timestamptz"},
    values={"nanos": "bigint", "api_key_id": "text", "owner": "text", "admitted_at": "timestamptz"},
    indexes=("(org, budget_id, generation, completion_id)",),
)
TABLES: Final = (HOLDS,)


Open = tuple[CompletionAdmitted, datetime, list[Hold]]
"""Admitted in this batch: when, and with what added since."""


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    """Most completions that begin in a batch end in it, and leave no trace here."""
    begun: dict[Key, Open] = {}
    raised: list[tuple[Key, Hold]] = []
    ended: set[Key] = set()
    for recorded in batch:
        key = recorded.org, recorded.id
        match recorded.event:
            case CompletionAdmitted() as admitted:
                begun[key] = admitted, recorded.at, []
            case CompletionReadmitted(admitted=admitted):
                begun[key] = admitted, recorded.at, []
            case CompletionHoldRaised(holds=holds) if key in begun:
                begun[key][2].extend(holds)
            case CompletionHoldRaised(holds=holds):
                raised.extend((key, hold) for hold in holds)
            case CompletionSettled():
                if begun.pop(key, None) is None:
                    ended.add(key)
    HOLDS.save(cursor, _raised_before(raised, cursor))
    HOLDS.remove(cursor, ended)
    HOLDS.save(cursor, dict(row for key, opened in begun.items() for row in _rows(key, opened)))


def _raised_before(raised: Sequence[tuple[Key, Hold]], cursor: Cursor) -> dict[Key, Row]:
    """What earlier batches have placed."""
    rows = HOLDS.load(cursor, [_place(key, hold) for key, hold in raised])
    for key, hold in raised:
        if (row := rows.get(_place(key, hold))) is not None:
            row["nanos"] += hold.nanos
    return rows


def _rows(key: Key, opened: Open) -> Iterator[tuple[Key, Row]]:
    admitted, at, added = opened
    for hold in admitted.holds:
        more = sum([each.nanos for each in added if _place(key, each) == _place(key, hold)])
        facts = {"nanos": hold.nanos + more, "api_key_id": admitted.api_key_id, "owner": admitted.owner, "admitted_at": at}
        yield _place(key, hold), facts


def _place(key: Key, hold: Hold) -> Key:
    return (*key, hold.budget_id, hold.generation, hold.period_start)


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


async def on_budget(connection: Connection, org: str, budget_id: str, generation: int, *, after: str, limit: int) -> Page[Held]:
    """In the order of admission, which is that of the ids."""
    asked = {"org": org, "budget_id": budget_id, "generation": generation, "after": after, "limit": limit + 1}
    return page_of(await fetched(connection, Held, SELECT, asked), limit)
