"""/admin/budgets: amounts in dollars on the wire, exact, with their nano-dollars beside them."""

from typing import Final

from application.world import World
from domain.admission.ledger import Balance, balance
from domain.budget.budget import Budget, decider
from domain.budget.commands import ChangeBudget, CloseBudget, OpenBudget, ResetBudget
from domain.budget.events import Scope
from domain.ids import ORG_DEFAULT
from domain.time import unix_seconds
from entrypoints.http.routing import Resource, all_of, command, deleted, one_of, query
from entrypoints.http.wire import Body, Row, nanos_field, usd
from projections import budgets, holds

WIRE_NAMES: Final = {
    "hard_limit_nanos": "hard_limit_usd",
    "soft_limit_nanos": "soft_limit_usd",
    "starting_spend_nanos": "starting_spend_usd",
}


def row(world: World, budget_id: str, budget: Budget | budgets.Standing) -> Row:
    match budget:
        case budgets.Standing(rules, stands):
            return described(budget_id, rules, stands)
        case Budget():
            return described(budget_id, budget, balance(world.log.view, budget_id, world.clock.now()))


def described(budget_id: str, budget: Budget | budgets.Budget, stands: Balance | budgets.Balance) -> Row:
    return {
        "id": budget_id,
        "name": budget.name,
        "description": budget.description,
        "period": budget.period,
        "time_zone": budget.time_zone,
        **amounts(budget, stands),
        "usage_percent": percent(stands.settled_nanos, budget.hard_limit_nanos),
        "status": status(budget, stands.settled_nanos),
        "at_limit": budget.at_limit,
        "scope": scope_word(budget.scope),
        "api_key_ids": budget.scope.api_key_ids,
        "team_ids": budget.scope.team_ids,
        "model_ids": budget.scope.model_ids,
        "alerts": [alert(budget, threshold, stands.settled_nanos) for threshold in budget.alert_thresholds],
        "generation": budget.generation,
        # What was spent before the last reset belongs to another generation, so counting began there.
        "period_start": unix_seconds(max(stands.period_start, budget.generation_began_at)),
        "period_end": stands.period_end and unix_seconds(stands.period_end),
        "enabled": budget.enabled,
        "created_at": unix_seconds(budget.created_at),
        "updated_at": unix_seconds(budget.updated_at),
    }


def amounts(budget: Budget | budgets.Budget, stands: Balance | budgets.Balance) -> Row:
    nanos = {
        "hard_limit": budget.hard_limit_nanos,
        "soft_limit": budget.soft_limit_nanos,
        "starting_spend": budget.starting_spend_nanos,
        "current_usage": stands.settled_nanos,
        "remaining": budget.hard_limit_nanos - stands.settled_nanos,
        "settled": stands.settled_nanos,
        "held": stands.held_nanos,
        "free": max(0, budget.hard_limit_nanos - stands.settled_nanos - stands.held_nanos),
    }
    dollars = {f"{name}_usd": None if amount is None else usd(amount) for name, amount in nanos.items()}
    return dollars | {f"{name}_nanos": amount for name, amount in nanos.items()}


def percent(part: int, whole: int) -> float:
    """A budget that can't be read has no limit to speak of."""
    return round(100 * part / whole, 6) if whole else 100.0


def status(budget: Budget | budgets.Budget, settled_nanos: int) -> str:
    if not budget.enabled:
        return "paused"
    if settled_nanos >= budget.hard_limit_nanos:
        return "exceeded"
    return "warning" if budget.soft_limit_nanos is not None and settled_nanos >= budget.soft_limit_nanos else "active"


def scope_word(scope: Scope) -> str:
    match bool(scope.api_key_ids), bool(scope.team_ids):
        case False, False:
            return "all_api_keys"
        case True, False:
            return "specific_api_keys"
        case False, True:
            return "teams"
    return "mixed"


def alert(budget: Budget | budgets.Budget, threshold_percent: int, settled_nanos: int) -> Row:
    triggered = 100 * settled_nanos >= threshold_percent * budget.hard_limit_nanos
    return {"threshold_percent": threshold_percent, "triggered": triggered, "triggered_at": None}


BUDGET: Final = Resource[Budget](
    plural="budgets",
    noun="budget",
    decider=decider,
    row=row,
    exists=lambda budget: not budget.closed,
    select=lambda world, connection, budget_id: budgets.select(connection, ORG_DEFAULT, budget_id, now=world.clock.now()),
    clearable=frozenset({"soft_limit_usd"}),
    wire_names=WIRE_NAMES,
)


def in_nanos(body: Body) -> Body:
    """Whatever is said in dollars; nano-dollars are ours to say."""
    said = {name: value for name, value in body.items() if name not in WIRE_NAMES}
    return said | {ours: nanos_field(body, wire) for ours, wire in WIRE_NAMES.items() if wire in body}


ROUTES: Final = (
    query("/admin/budgets", all_of(BUDGET), budgets, holds),
    query("/admin/budgets/{budget_id}", one_of(BUDGET), budgets, holds),
    command("POST", "/admin/budgets", OpenBudget, BUDGET, translate=in_nanos),
    command("PUT", "/admin/budgets/{budget_id}", ChangeBudget, BUDGET, translate=in_nanos),
    command("DELETE", "/admin/budgets/{budget_id}", CloseBudget, BUDGET, show=deleted),
    command("POST", "/admin/budgets/{budget_id}/reset", ResetBudget, BUDGET),
)
