"""/admin/completions: what became of each, from its admission to the last cent."""

from collections.abc import Mapping
from typing import Any, Final

from domain.completion.events import Attempt, Hold
from domain.errors import Invalid, NotFound
from domain.ids import ORG_DEFAULT, CompletionId
from domain.price import CostLine
from entrypoints.http.cursors import cursor_of, place_of
from entrypoints.http.query_string import moment, text, whole_number
from entrypoints.http.routing import Question, Shown, query
from entrypoints.http.wire import Row, usd
from projections import completions
from projections.completions import Completion, Wanted
from projections.ended import usage_of

LIMIT: Final = 1_000
STATUSES: Final = ("open", "settled", "recovered", "failed")


async def page(question: Question) -> Shown:
    found = await completions.select(question.connection, wanted(question.said))
    last = found.rows[-1] if found.more else None
    following = {} if last is None else {"next": cursor_of(last.admitted_at, last.admitted_position)}
    return Shown({"completions": [row(each) for each in found.rows]} | following)


def wanted(said: Mapping[str, str]) -> Wanted:
    status = text(said, "status")
    if status not in (None, *STATUSES):
        raise Invalid(f"status: must be one of {', '.join(STATUSES)}", param="status")
    return Wanted(
        org=ORG_DEFAULT,
        api_key_id=text(said, "api_key_id"),
        team_id=text(said, "team_id"),
        model_id=text(said, "model_id"),
        status=status,
        since=moment(said, "from"),
        until=moment(said, "to"),
        after=place_of(said, "after"),
        limit=whole_number(said, "limit", at_least=1, at_most=LIMIT) or LIMIT,
    )


async def one(question: Question) -> Shown:
    try:
        completion_id = CompletionId.parse(question.names["completion_id"])
    except ValueError as broken:
        raise Invalid(f"id: {broken}", param="id") from None
    found = await completions.select(question.connection, Wanted(org=ORG_DEFAULT, completion_id=completion_id))
    if not found.rows:
        raise NotFound(f"There is no completion {completion_id}")
    return Shown(row(found.rows[0]))


def row(completion: Completion) -> Row:
    admitted = completion.admission
    return {
        "id": completion.id,
        "status": completion.status,
        "kind": admitted.kind,
        "api_key_id": admitted.api_key_id,
        "team_id": admitted.team_id,
        "model_id": admitted.model_id,
        **present(end_user=admitted.end_user, user_id=admitted.user_id),
        "tags": admitted.tags,
        "owner": admitted.owner,
        "stream": admitted.stream,
        "admitted_at": completion.admitted_at,
        "prompt_tokens_bound": admitted.prompt_tokens_bound,
        "output_cap": admitted.output_cap,
        "output_cap_chosen": admitted.output_cap_chosen,
        "choices": admitted.choices,
        "route": [dict(step) for step in admitted.route],
        "holds": [hold_row(completion, hold) for hold in completion.holds],
        "progress_tokens": completion.progress_tokens,
        **ending(completion),
        "events": completion.events,
    }


def ending(completion: Completion) -> Row:
    """What a correction says comes before what it corrects."""
    settled, ended = completion.settlement, completion.ended
    if settled is None or ended is None:
        return {"attempts": [], "cost_lines": []}
    cost = {} if ended.cost_nanos is None else {"cost_nanos": ended.cost_nanos, "cost_usd": usd(ended.cost_nanos)}
    return {
        "settled_at": completion.settled_at,
        "attempts": [attempt_row(attempt) for attempt in ended.attempts],
        "usage": usage_of(ended.attempts),
        "usage_source": ended.usage_source,
        **cost,
        "cost_lines": [line_row(attempt, line) for attempt in ended.attempts for line in attempt.cost_lines],
        "end_reason": ended.end_reason,
        "recovered": settled.recovered,
        "corrected": completion.correction is not None,
        "overrun_nanos": settled.overrun_nanos,
        "latency_ms": settled.latency_ms,
        **present(overhead_ms=settled.overhead_ms),
    }


def hold_row(completion: Completion, hold: Hold) -> Row:
    return {
        "budget_id": hold.budget_id,
        "generation": hold.generation,
        "period_start": hold.period_start,
        "amount_nanos": hold.nanos,
        "amount_usd": usd(hold.nanos),
        **present(spent_nanos=completion.spent_nanos(hold)),
    }


def attempt_row(attempt: Attempt) -> Row:
    """Its lines stand with those of the others."""
    said = {name: value for name, value in attempt if name != "cost_lines" and value is not None}
    return said if attempt.cost_nanos is None else said | {"cost_usd": usd(attempt.cost_nanos)}


def line_row(attempt: Attempt, line: CostLine) -> Row:
    """The price is the one that was in force at admission."""
    return {
        "model_id": attempt.model_id,
        "price_id": attempt.price_id,
        "category": line.category,
        "quantity": line.quantity,
        "nanos_per_million": line.nanos_per_million,
        "usd_per_million": usd(line.nanos_per_million),
    }


def present(**values: Any) -> Row:
    """Absent where there is no value."""
    return {name: value for name, value in values.items() if value is not None}


ROUTES: Final = (
    query("/admin/completions", page, completions),
    query("/admin/completions/{completion_id}", one, completions),
)
