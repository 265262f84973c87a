"""What is asked of budgets: which bind a team, what would fit, and what is held."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from aiohttp import web

from application.freshness import caught_up
from application.world import World
from domain.admission.directory import budgets_of
from domain.admission.ledger import balance
from domain.api_key.api_key import API_KEYS
from domain.budget.budget import BUDGETS, Budget
from domain.errors import Invalid
from domain.ids import ORG_DEFAULT
from domain.time import unix_seconds
from entrypoints.http.admin.budgets import BUDGET, row, scope_word
from entrypoints.http.authentication import asker
from entrypoints.http.keys import WORLD
from entrypoints.http.query_string import text, whole_number
from entrypoints.http.routing import Question, Shown, one, query
from entrypoints.http.wire import Body, Row, answer, nanos_field, read_object, usd
from projections import budgets, holds

HOLDS_LIMIT: Final = 1_000
GENERATION_MAX: Final = 2**31


async def of_team(question: Question) -> Shown:
    standings = await budgets.select(question.connection, ORG_DEFAULT, now=question.world.clock.now())
    team_id = question.names["team_id"]
    bound = [each for each in standings if scope_word(each.budget.scope) == "all_api_keys" or team_id in each.budget.scope.team_ids]
    return Shown({"budgets": [row(question.world, each.id, each) for each in bound]})


async def check(request: web.Request) -> web.Response:
    """Would so much be admitted now? Nothing is held for it, so the next one to ask may be told the same."""
    await asker(request)
    world, body = request.app[WORLD], await read_object(request)
    api_key_id, estimate = text_field(body, "api_key_id"), nanos_field(body, "estimated_cost_usd")
    if api_key_id is None:
        raise Invalid("api_key_id: Field required", param="api_key_id")
    if estimate is None or estimate < 0:
        raise Invalid("estimated_cost_usd: must be a number of US dollars, not negative", param="estimated_cost_usd")
    await caught_up(world.log)
    key = world.log.view.get(API_KEYS, api_key_id)
    team_id = text_field(body, "team_id") or (key.team_id if key else "")
    return answer(verdict(world, api_key_id, team_id, text_field(body, "model_id"), estimate))


def verdict(world: World, api_key_id: str, team_id: str, model_id: str | None, estimate_nanos: int) -> Row:
    exceeded, warned = [], []
    for budget_id, budget in applying(world, api_key_id, team_id, model_id):
        stands = balance(world.log.view, budget_id, world.clock.now())
        if not stands.fits(estimate_nanos):
            exceeded.append(budget_id)
        elif budget.soft_limit_nanos is not None and stands.settled_nanos + estimate_nanos >= budget.soft_limit_nanos:
            warned.append(budget_id)
    return {
        "allowed": not exceeded,
        "exceeded_budgets": exceeded,
        "warning_budgets": warned,
        "estimated_cost_usd": usd(estimate_nanos),
    }


def applying(world: World, api_key_id: str, team_id: str, model_id: str | None) -> Iterator[tuple[str, Budget]]:
    """A budget for certain models does not apply where no model is named."""
    for budget_id in budgets_of(world.log.view, api_key_id, team_id):
        budget = world.log.view.get(BUDGETS, budget_id)
        if budget is not None and (not budget.scope.model_ids or model_id in budget.scope.model_ids):
            yield budget_id, budget


async def held(question: Question) -> Shown:
    """Of the generation in force, unless another is asked for."""
    standing = await one(BUDGET, question)
    generation = whole_number(question.said, "generation", at_most=GENERATION_MAX)
    page = await holds.on_budget(
        question.connection,
        ORG_DEFAULT,
        standing.id,
        standing.budget.generation if generation is None else generation,
        after=text(question.said, "after") or "",
        limit=whole_number(question.said, "limit", at_least=1, at_most=HOLDS_LIMIT) or HOLDS_LIMIT,
    )
    now = question.world.clock.now()
    following = {"next": page.rows[-1].completion_id} if page.more else {}
    return Shown({"holds": [hold_row(hold, now) for hold in page.rows]} | following)


def hold_row(hold: holds.Held, now: datetime) -> Row:
    return {
        "completion_id": hold.completion_id,
        "api_key_id": hold.api_key_id,
        "period_start": unix_seconds(hold.period_start),
        "amount_nanos": hold.nanos,
        "amount_usd": usd(hold.nanos),
        "admitted_at": hold.admitted_at,
        "age_s": max(0.0, (now - hold.admitted_at).total_seconds()),
        "owner": hold.owner,
    }


def text_field(body: Body, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{name}: must be text", param=name)
    return value


ROUTES: Final = (
    query("/admin/budgets/by-team/{team_id}", of_team, budgets, holds),
    web.post("/admin/budgets/check", check),
    query("/admin/budgets/{budget_id}/holds", held, budgets, holds),
)
