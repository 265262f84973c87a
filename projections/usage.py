"""Usage per hour, key, team and model: its tables, and how settlements fill them. `usage_reports` has the questions."""

from collections.abc import Sequence
from datetime import datetime
from operator import add, sub
from typing import Any, Final

from domain.completion.events import CompletionAdmitted, CompletionCorrected, CompletionReadmitted, CompletionSettled
from domain.kernel import Recorded
from domain.price import ANSWER, PROMPT
from domain.usage.events import UsageDeleted
from projections.ended import Ended, status_of, usage_of
from projections.tables import Cursor, Key, Kinds, Row, Table, parsed

NAME: Final = "usage"
EVENTS: Final[Kinds] = (CompletionAdmitted, CompletionReadmitted, CompletionSettled, CompletionCorrected, UsageDeleted)

TOKENS: Final = {category.value: f"{category.value}_tokens" for category in (*PROMPT, *ANSWER)}
AMOUNTS: Final = ("requests", "successes", "failures", "cost_nanos", "cost_unknown", "latency_ms", *TOKENS.values())
Amounts = tuple[int, ...]
"""In the order of AMOUNTS."""
LATENCY: Final = AMOUNTS.index("latency_ms")

HOURS: Final = Table(
    "usage_hours",
    key={"org": "text", "hour": "timestamptz", "api_key_id": "text", "team_id": "text", "model_id": "text"},
    values=dict.fromkeys(AMOUNTS, "bigint"),
)
UNCOUNTED: Final = Table(
    "usage_uncounted",
    key={"org": "text", "completion_id": "text"},
    values={"api_key_id": "text", "team_id": "text", "model_id": "text", "counted": "json"},
)
"""Whose use an open completion will be; and of a recovered one, which may be corrected, what was counted (`hour` and amounts)."""
DELETED: Final = Table("usage_deleted", key={"org": "text"}, values={"before": "timestamptz"})
"""Up to where usage was deleted. An hour that is deleted in part stays, and no question takes it whole any more."""
TABLES: Final = (HOURS, UNCOUNTED, DELETED)

PRUNE: Final = f"DELETE FROM {HOURS.name} USING {DELETED.name} AS d WHERE {HOURS.name}.org = d.org AND hour + interval '1 hour' <= before"  # noqa: S608

Begun = CompletionAdmitted | CompletionReadmitted


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    """Fold the batch in memory, then one statement per table. Most completions that begin in a batch end in it."""
    keyed = [((recorded.org, recorded.id), recorded) for recorded in batch]
    begun = {key for key, recorded in keyed if isinstance(recorded.event, Begun)}
    ended = {key for key, recorded in keyed if isinstance(recorded.event, Ended)} - begun
    whose = UNCOUNTED.load(cursor, ended)
    hours: dict[Key, Amounts] = {}
    deleted: dict[Key, Row] = {}
    for key, recorded in keyed:
        match recorded.event:
            case CompletionAdmitted() as admitted:
                whose[key] = _whose(admitted)
            case CompletionReadmitted(admitted=admitted):
                whose[key] = _whose(admitted)
            case CompletionSettled() as settled if (row := whose.pop(key, None)) is not None:
                hour, amounts = _hour(recorded.at), _amounts(settled)
                _add(hours, recorded.org, hour, row, amounts)
                if settled.recovered:
                    whose[key] = row | {"counted": [hour, *amounts]}
            case CompletionCorrected() as corrected if (row := whose.pop(key, None)) is not None and row.get("counted"):
                _correct(hours, recorded.org, row, corrected)
            case UsageDeleted(before=before):
                deleted[(recorded.org,)] = {"before": before}
    UNCOUNTED.remove(cursor, ended - whose.keys())
    UNCOUNTED.save(cursor, whose)
    HOURS.add(cursor, hours)
    DELETED.save(cursor, deleted)
    if deleted or any(isinstance(recorded.event, CompletionCorrected) for recorded in batch):
        cursor.execute(PRUNE)


def _whose(admitted: CompletionAdmitted) -> Row:
    return {"api_key_id": admitted.api_key_id, "team_id": admitted.team_id, "model_id": admitted.model_id}


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _amounts(ended: Ended) -> Amounts:
    succeeded = int(status_of(ended) == "settled")
    cost, usage = ended.cost_nanos, usage_of(ended.attempts)
    latency_ms = ended.latency_ms if isinstance(ended, CompletionSettled) else 0
    return (1, succeeded, 1 - succeeded, cost or 0, int(cost is None), latency_ms, *[usage.get(category, 0) for category in TOKENS])


def _add(hours: dict[Key, Amounts], org: str, hour: datetime, row: Row, amounts: Amounts) -> None:
    key = org, hour, row["api_key_id"], row["team_id"], row["model_id"]
    total = hours.get(key)
    hours[key] = amounts if total is None else tuple(map(add, total, amounts))


def _correct(hours: dict[Key, Amounts], org: str, row: Row, corrected: CompletionCorrected) -> None:
    """Where it was counted first. How long it took nobody knows better now."""
    hour, *counted = parsed(row["counted"])
    became = list(_amounts(corrected))
    became[LATENCY] = counted[LATENCY]
    at = hour if isinstance(hour, datetime) else datetime.fromisoformat(hour)
    _add(hours, org, at, row, tuple(map(sub, became, counted)))
