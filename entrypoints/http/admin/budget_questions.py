"""What is asked of budgets: which bind a team, what would fit, and what is held."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Final

from aiohttp import web

from application.freshness import caught_up
from application.world import World
from domain.admission.directory import budgets_of
from domain.admission.ledger import balance
from domain.api_key.api_key import API_KEYS
from domain.budget.budget import BUDGETS, Budget
from domain.completion.completion import OPEN_COMPLETIONS
from domain.errors import Invalid
from domain.time import unix_seconds
from entrypoints.http.admin.budgets import BUDGET, row, scope_word
from entrypoints.http.authentication import asker
from entrypoints.http.keys import WORLD
from entrypoints.http.query_string import text, whole_number
from entrypoints.http.routing import Shown, found, present, query, well_formed
from entrypoints.http.wire import Body, Row, answer, nanos_field, read_object, usd

HOLDS_LIMIT: Final = 1_000
GENERATION_MAX: Final = 2**31


def of_team(world: World, team_id: str) -> Shown:
    bound = [
        row(world, budget_id, budget)
        for budget_id, budget in present(world, BUDGET)
        if scope_word(budget.scope) == "all_api_keys" or team_id in budget.scope.team_ids
    ]
    return Shown({"budgets": bound})


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


async def holds(request: web.Request) -> web.Response:
    await asker(request)
    world, budget_id = request.app[WORLD], well_formed(BUDGET, request.match_info["budget_id"])
    await caught_up(world.log)
    budget = found(world, BUDGET, budget_id)
    generation = whole_number(request.query, "generation", at_most=GENERATION_MAX)
    after = text(request.query, "after") or ""
    rows = sorted(held(world, budget_id, budget.generation if generation is None else generation), key=itemgetter("completion_id"))
    page = [each for each in rows if each["completion_id"] > after][: HOLDS_LIMIT + 1]
    following = {"next": page[HOLDS_LIMIT - 1]["completion_id"]} if len(page) > HOLDS_LIMIT else {}
    return answer({"holds": page[:HOLDS_LIMIT]} | following)


def held(world: World, budget_id: str, generation: int) -> Iterator[Row]:
    for completion_id, completion in world.log.view.items(OPEN_COMPLETIONS):
        for hold in completion.holds:
            if hold.budget_id == budget_id and hold.generation == generation:
                yield {
                    "completion_id": completion_id,
                    "api_key_id": completion.admitted.api_key_id,
                    "period_start": unix_seconds(hold.period_start),
                    "amount_nanos": hold.nanos,
                    "amount_usd": usd(hold.nanos),
                    "admitted_at": completion.admitted_at,
                    "owner": completion.admitted.owner,
                }


def text_field(body: Body, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{name}: must be text", param=name)
    return value


ROUTES: Final = (
    query("/admin/budgets/by-team/{team_id}", of_team),
    web.post("/admin/budgets/check", check),
    web.get("/admin/budgets/{budget_id}/holds", holds),
)
