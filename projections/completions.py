"""Completions, each with its whole story: admission, holds, attempts, settlement, and the positions where the log tells it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import TypeAdapter

from domain.completion.events import (
    Attempt,
    CompletionAdmitted,
    CompletionCorrected,
    CompletionHoldRaised,
    CompletionProgressed,
    CompletionReadmitted,
    CompletionSettled,
    Hold,
    HoldOutcome,
    RouteStep,
)
from domain.kernel import Recorded
from projections.ended import status_of, tokens_of, usage_of
from projections.tables import Cursor, Row, Table

NAME: Final = "completions"
EVENTS: Final = (
    CompletionAdmitted,
    CompletionReadmitted,
    CompletionHoldRaised,
    CompletionProgressed,
    CompletionSettled,
    CompletionCorrected,
)

COMPLETIONS: Final = Table(
    "completions",
    key={"org": "text", "id": "text"},
    values={
        "status": "text",
        "admitted_at": "timestamptz",
        "admitted_position": "bigint",
        "settled_at": "timestamptz",
        "settled_position": "bigint",
        "kind": "text",
        "api_key_id": "text",
        "team_id": "text",
        "model_id": "text",
        "user_id": "text",
        "end_user": "text",
        "owner": "text",
        "stream": "boolean",
        "tags": "jsonb",
        "route": "jsonb",
        "prompt_tokens_bound": "bigint",
        "output_cap": "bigint",
        "holds": "jsonb",
        "progress_tokens": "bigint",
        "attempts": "jsonb",
        "usage": "jsonb",
        "usage_source": "text",
        "input_tokens": "bigint",
        "output_tokens": "bigint",
        "cost_nanos": "bigint",
        "end_reason": "text",
        "overrun_nanos": "bigint",
        "latency_ms": "bigint",
        "overhead_ms": "double precision",
        "events": "jsonb",
    },
    indexes=(
        "(admitted_at, admitted_position)",
        "(settled_at, settled_position)",
        "(api_key_id, admitted_at, admitted_position)",
    ),
)
TABLES: Final = (COMPLETIONS,)

ADMITTED: Final = ("kind", "api_key_id", "team_id", "model_id", "user_id", "end_user", "owner", "stream", "prompt_tokens_bound", "output_cap")
"""Columns that say what the admission's fields say."""

attempts_json: Final = TypeAdapter(tuple[Attempt, ...]).dump_json
route_json: Final = TypeAdapter(tuple[RouteStep, ...]).dump_json


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    begun = {(recorded.org, recorded.id) for recorded in batch if isinstance(recorded.event, CompletionAdmitted | CompletionReadmitted)}
    rows = COMPLETIONS.load(cursor, {(recorded.org, recorded.id) for recorded in batch} - begun)
    for recorded in batch:
        key = recorded.org, recorded.id
        row = fold(rows.get(key), recorded)
        if row is not None:
            row["events"].append(recorded.position)
            rows[key] = row
    COMPLETIONS.save(cursor, rows)


def fold(row: Row | None, recorded: Recorded[Any]) -> Row | None:
    """What stands on a completion that nobody admitted says nothing."""
    match recorded.event:
        case CompletionAdmitted() as admitted:
            return _admitted(admitted, recorded.at, recorded.position)
        case CompletionReadmitted(admitted=admitted):
            return _admitted(admitted, recorded.at, recorded.position)
    if row is None:
        return None
    row = row | {"holds": _parsed(row["holds"]), "events": _parsed(row["events"])}
    match recorded.event:
        case CompletionHoldRaised(holds=additions):
            return row | {"holds": _raised(row["holds"], additions)}
        case CompletionProgressed(output_tokens=tokens):
            return row | {"progress_tokens": max(tokens, row["progress_tokens"])}
        case CompletionSettled() as settled:
            more = {name: getattr(settled, name) for name in ("overrun_nanos", "latency_ms", "overhead_ms")}
            return _ended(row, settled) | more | {"settled_at": recorded.at, "settled_position": recorded.position}
        case CompletionCorrected() as corrected:
            return _ended(row, corrected)
    return None


def _admitted(admitted: CompletionAdmitted, at: datetime, position: int) -> Row:
    fields = dict(admitted)
    return {name: fields[name] for name in ADMITTED} | {
        "status": "open",
        "admitted_at": at,
        "admitted_position": position,
        "tags": admitted.tags,
        "route": route_json(admitted.route).decode(),
        "holds": [_hold(hold) for hold in admitted.holds],
        "progress_tokens": 0,
        "events": [],
    }


def _ended(row: Row, ended: CompletionSettled | CompletionCorrected) -> Row:
    usage = usage_of(ended.attempts)
    tokens = tokens_of(usage)
    return row | {
        "status": status_of(ended),
        "holds": _spent(row["holds"], ended.holds),
        "attempts": attempts_json(ended.attempts).decode(),
        "usage": usage,
        "usage_source": ended.usage_source,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cost_nanos": ended.cost_nanos,
        "end_reason": ended.end_reason,
    }


def _hold(hold: Hold) -> Row:
    return {
        "budget_id": hold.budget_id,
        "generation": hold.generation,
        "period_start": hold.period_start.isoformat().replace("+00:00", "Z"),
        "nanos": hold.nanos,
        "model_ids": hold.model_ids,
    }


def _account(hold: Row) -> tuple[Any, ...]:
    return hold["budget_id"], hold["generation"], hold["period_start"]


def _raised(holds: list[Row], additions: Sequence[Hold]) -> list[Row]:
    more = {_account(hold): hold["nanos"] for hold in map(_hold, additions)}
    return [hold | {"nanos": hold["nanos"] + more.get(_account(hold), 0)} for hold in holds]


def _spent(holds: list[Row], outcomes: Sequence[HoldOutcome]) -> list[Row]:
    """What each hold became."""
    spent = {
        (each.budget_id, each.generation, each.period_start.isoformat().replace("+00:00", "Z")): each.spent_nanos for each in outcomes
    }
    return [hold | {"spent_nanos": spent.get(_account(hold))} for hold in holds]


def _parsed(stored: Any) -> Any:
    return orjson.loads(stored) if isinstance(stored, str) else stored
