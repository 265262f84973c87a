"""Usage per hour, key, team and model: its tables, and how settlements fill them. `usage_reports` has the questions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from domain.completion.events import CompletionAdmitted, CompletionCorrected, CompletionReadmitted, CompletionSettled
from domain.kernel import Recorded
from domain.price import Category
from domain.usage.events import UsageDeleted
from projections.ended import status_of, usage_of
from projections.tables import Cursor, Key, Row, Table

NAME: Final = "usage"
EVENTS: Final = (CompletionAdmitted, CompletionReadmitted, CompletionSettled, CompletionCorrected, UsageDeleted)

COUNTED: Final = (Category.INPUT, Category.CACHED_INPUT, Category.CACHE_WRITE, Category.INPUT_AUDIO, Category.OUTPUT, Category.OUTPUT_AUDIO)
TOKENS: Final = {category.value: f"{category.value}_tokens" for category in COUNTED}
AMOUNTS: Final = ("requests", "successes", "failures", "cost_nanos", "cost_unknown", "latency_ms", *TOKENS.values())

HOURS: Final = Table(
    "usage_hours",
    key={"org": "text", "hour": "timestamptz", "api_key_id": "text", "team_id": "text", "model_id": "text"},
    values=dict.fromkeys(AMOUNTS, "bigint"),
)
UNCOUNTED: Final = Table(
    "usage_uncounted",
    key={"org": "text", "completion_id": "text"},
    values={"api_key_id": "text", "team_id": "text", "model_id": "text", "counted": "jsonb"},
)
"""Whose use an open completion will be; and of a recovered one, which may be corrected, what was counted (`hour` and amounts)."""
DELETED: Final = Table("usage_deleted", key={"org": "text"}, values={"before": "timestamptz"})
"""Up to where usage was deleted. An hour that is deleted in part stays, and no question takes it whole any more."""
TABLES: Final = (HOURS, UNCOUNTED, DELETED)

PRUNE: Final = f"DELETE FROM {HOURS.name} USING {DELETED.name} AS d WHERE {HOURS.name}.org = d.org AND hour + interval '1 hour' <= before"  # noqa: S608

Ended = CompletionSettled | CompletionCorrected


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    """Fold the batch in memory, then one statement per table. Most completions that begin in a batch end in it."""
    begun = {(recorded.org, recorded.id) for recorded in batch if isinstance(recorded.event, CompletionAdmitted | CompletionReadmitted)}
    ended = {(recorded.org, recorded.id) for recorded in batch if isinstance(recorded.event, Ended)}
    whose = UNCOUNTED.load(cursor, ended - begun)
    hours: dict[Key, Row] = {}
    deleted: dict[Key, Row] = {}
    for recorded in batch:
        completion = recorded.org, recorded.id
        match recorded.event:
            case CompletionAdmitted() as admitted:
                whose[completion] = _whose(admitted)
            case CompletionReadmitted(admitted=admitted):
                whose[completion] = _whose(admitted)
            case CompletionSettled() as settled if (row := whose.pop(completion, None)) is not None:
                hour, amounts = _hour(recorded.at), _amounts(settled)
                _add(hours, recorded.org, hour, row, amounts)
                if settled.recovered:
                    whose[completion] = row | {"counted": {"hour": hour.isoformat(), **amounts}}
            case CompletionCorrected() as corrected if (row := whose.pop(completion, None)) is not None and row.get("counted"):
                _correct(hours, recorded.org, row, corrected)
            case UsageDeleted(before=before):
                deleted[(recorded.org,)] = {"before": before}
    UNCOUNTED.remove(cursor, ended - begun - whose.keys())
    UNCOUNTED.save(cursor, whose)
    HOURS.add(cursor, hours)
    DELETED.save(cursor, deleted)
    if deleted or any(isinstance(recorded.event, CompletionCorrected) for recorded in batch):
        cursor.execute(PRUNE)


def _whose(admitted: CompletionAdmitted) -> Row:
    return {"api_key_id": admitted.api_key_id, "team_id": admitted.team_id, "model_id": admitted.model_id}


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _amounts(ended: Ended) -> dict[str, int]:
    status = status_of(ended)
    usage = usage_of(ended.attempts)
    return {
        "requests": 1,
        "successes": int(status == "settled"),
        "failures": int(status != "settled"),
        "cost_nanos": ended.cost_nanos or 0,
        "cost_unknown": int(ended.cost_nanos is None),
        "latency_ms": ended.latency_ms if isinstance(ended, CompletionSettled) else 0,
        **{column: usage.get(category, 0) for category, column in TOKENS.items()},
    }


def _add(hours: dict[Key, Row], org: str, hour: datetime, row: Row, amounts: dict[str, int], sign: int = 1) -> None:
    key = org, hour, row["api_key_id"], row["team_id"], row["model_id"]
    total = hours.get(key)
    if total is None:
        hours[key] = {name: sign * amount for name, amount in amounts.items()}
    else:
        for name, amount in amounts.items():
            total[name] += sign * amount


def _correct(hours: dict[Key, Row], org: str, row: Row, corrected: CompletionCorrected) -> None:
    """Where it was counted first. How long it took nobody knows better now."""
    counted = orjson.loads(row["counted"]) if isinstance(row["counted"], str) else dict(row["counted"])
    hour = datetime.fromisoformat(counted.pop("hour"))
    _add(hours, org, hour, row, counted, -1)
    _add(hours, org, hour, row, _amounts(corrected) | {"latency_ms": counted["latency_ms"]})
