"""Completions, each with its whole story: admission, holds, attempts, settlement, and the positions where the log tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.completion.events import (
    CompletionAdmitted,
    CompletionCorrected,
    CompletionHoldRaised,
    CompletionProgressed,
    CompletionReadmitted,
    CompletionSettled,
    Hold,
)
from domain.kernel import Event, Recorded
from projections.ended import Ended, status_of, tokens_of, usage_of
from projections.reading import Connection, Page, fetched, page_of
from projections.tables import Cursor, Kinds, Row, Table, parsed

NAME: Final = "completions"
BEGINNINGS: Final = (CompletionAdmitted, CompletionReadmitted)
EVENTS: Final[Kinds] = (*BEGINNINGS, CompletionHoldRaised, CompletionProgressed, CompletionSettled, CompletionCorrected)

COMPLETIONS: Final = Table(
    "completions",
    key={"org": "text", "id": "text"},
    values={
        "status": "text",
        "kind": "text",
        "api_key_id": "text",
        "team_id": "text",
        "model_id": "text",
        "admitted_at": "timestamptz",
        "admitted_position": "bigint",
        "settled_at": "timestamptz",
        "settled_position": "bigint",
        "end_reason": "text",
        "input_tokens": "bigint",
        "output_tokens": "bigint",
        "cost_nanos": "bigint",
        "latency_ms": "bigint",
        "progress_tokens": "bigint",
        "admission": "json",
        "raises": "json",
        "settlement": "json",
        "correction": "json",
        "events": "json",
    },
    indexes=(
        "(admitted_at, admitted_position)",
        "(settled_at, settled_position)",
        "(api_key_id, admitted_at, admitted_position)",
    ),
)
"""What is filtered, ordered or summed has a column; the events stand beside it as they are stored."""
TABLES: Final = (COMPLETIONS,)


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    keyed = [((recorded.org, recorded.id), recorded) for recorded in batch]
    begun = {key for key, recorded in keyed if isinstance(recorded.event, BEGINNINGS)}
    rows = COMPLETIONS.load(cursor, {key for key, _ in keyed} - begun)
    for key, recorded in keyed:
        row = fold(rows.get(key), recorded)
        if row is not None:
            row["events"] = [*parsed(row["events"]), recorded.position]
            rows[key] = row
    COMPLETIONS.save(cursor, rows)


def fold(row: Row | None, recorded: Recorded[Any]) -> Row | None:
    """What stands on a completion that nobody admitted says nothing."""
    match recorded.event, row:
        case CompletionAdmitted() as admitted, _:
            return _admitted(admitted, recorded)
        case CompletionReadmitted(admitted=admitted), _:
            return _admitted(admitted, recorded)
        case _, None:
            return None
        case CompletionSettled() as settled, dict():
            ended = {"settled_at": recorded.at, "settled_position": recorded.position, "latency_ms": settled.latency_ms}
            return row | ended | _ended(settled) | {"settlement": _stored(settled)}
        case CompletionCorrected() as corrected, dict():
            return row | _ended(corrected) | {"correction": _stored(corrected)}
        case CompletionHoldRaised() as raised, dict():
            return row | {"raises": [*parsed(row.get("raises") or []), parsed(_stored(raised))]}
        case CompletionProgressed(output_tokens=tokens), dict():
            return row | {"progress_tokens": max(tokens, row["progress_tokens"])}
    return None


def _admitted(admitted: CompletionAdmitted, recorded: Recorded[Any]) -> Row:
    return {
        "status": "open",
        "kind": admitted.kind,
        "api_key_id": admitted.api_key_id,
        "team_id": admitted.team_id,
        "model_id": admitted.model_id,
        "admitted_at": recorded.at,
        "admitted_position": recorded.position,
        "progress_tokens": 0,
        "admission": _stored(admitted),
        "events": (),
    }


def _ended(ended: Ended) -> Row:
    tokens = tokens_of(usage_of(ended.attempts))
    return {
        "status": status_of(ended),
        "end_reason": ended.end_reason,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cost_nanos": ended.cost_nanos,
    }


def _stored(event: Event) -> str:
    """As in the log: without what equals its default."""
    return event.__pydantic_serializer__.to_json(event, exclude_defaults=True).decode()


class Completion(NamedTuple):
    """A row, its events read."""

    id: str
    status: str
    admitted_at: datetime
    admitted_position: int
    settled_at: datetime | None
    progress_tokens: int
    admission: CompletionAdmitted
    raises: tuple[CompletionHoldRaised, ...]
    settlement: CompletionSettled | None
    correction: CompletionCorrected | None
    events: list[int]

    @property
    def ended(self) -> Ended | None:
        """What is known in the end."""
        return self.correction or self.settlement

    @property
    def holds(self) -> list[Hold]:
        """With what was added to each."""
        added = [hold for raised in self.raises for hold in raised.holds]
        return [
            hold.model_copy(update={"nanos": hold.nanos + sum([each.nanos for each in added if _same(each, hold)])})
            for hold in self.admission.holds
        ]

    def spent_nanos(self, hold: Hold) -> int | None:
        """What it became; None while the completion is open."""
        return next((outcome.spent_nanos for outcome in self.ended.holds if _same(outcome, hold)), None) if self.ended else None


def _same(one: Any, other: Hold) -> bool:
    return (one.budget_id, one.generation, one.period_start) == (other.budget_id, other.generation, other.period_start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which completions are asked for: those that meet all that is said. By admission, the youngest first."""

    org: str
    completion_id: str | None = None
    api_key_id: str | None = None
    team_id: str | None = None
    model_id: str | None = None
    status: str | None = None
    since: datetime | None = None
    """Admitted at this moment or later."""
    until: datetime | None = None
    """Before this moment."""
    after: tuple[datetime, int] | None = None
    """The last one of the page before: when it was admitted, and where in the log."""
    limit: int = 1


CONDITIONS: Final = {
    "org": "org = %(org)s",
    "completion_id": "id = %(completion_id)s",
    "api_key_id": "api_key_id = %(api_key_id)s",
    "team_id": "team_id = %(team_id)s",
    "model_id": "model_id = %(model_id)s",
    "status": "status = %(status)s",
    "since": "admitted_at >= %(since)s",
    "until": "admitted_at < %(until)s",
    "after": "(admitted_at, admitted_position) < (%(after_at)s, %(after_position)s)",
}


async def select(connection: Connection, wanted: Wanted) -> Page[Completion]:
    said = [condition for name, condition in CONDITIONS.items() if getattr(wanted, name) is not None]
    statement = f"""
        SELECT {", ".join(Completion._fields)} FROM {COMPLETIONS.name} WHERE {" AND ".join(said)}
        ORDER BY admitted_at DESC, admitted_position DESC LIMIT %(limit)s
    """  # noqa: S608
    at, position = wanted.after or (None, None)
    values = {name: getattr(wanted, name) for name in (*CONDITIONS, "limit")} | {"after_at": at, "after_position": position}
    values |= {"after": None, "limit": wanted.limit + 1}
    return page_of([_read(row) for row in await fetched(connection, Completion, statement, values)], wanted.limit)


def _read(row: Completion) -> Completion:
    return row._replace(
        admission=CompletionAdmitted.model_validate(row.admission),
        raises=tuple([CompletionHoldRaised.model_validate(each) for each in row.raises or ()]),
        settlement=row.settlement and CompletionSettled.model_validate(row.settlement),
        correction=row.correction and CompletionCorrected.model_validate(row.correction),
    )
