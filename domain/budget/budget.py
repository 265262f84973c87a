"""The rules of a budget."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from domain.budget.commands import ChangeBudget, CloseBudget, OpenBudget, ResetBudget
from domain.budget.events import (
    AtLimit,
    BudgetAlertsChanged,
    BudgetAtLimitChanged,
    BudgetClosed,
    BudgetDescribed,
    BudgetDisabled,
    BudgetEnabled,
    BudgetLimitChanged,
    BudgetOpened,
    BudgetReset,
    BudgetScopeChanged,
    Scope,
)
from domain.change import facts, said
from domain.errors import Conflict, Invalid, NotFound, Unreadable
from domain.kernel import Decider, Event, Recorded, UnknownEvent
from domain.money import NANOS_PER_USD, USD_MAX
from domain.state import Kind
from domain.time import TIME_ZONES, Period

PERCENT_MAX: Final = 100
SCOPE: Final = tuple(Scope.model_fields)
FACTS: Final = (BudgetDescribed, BudgetLimitChanged, BudgetScopeChanged, BudgetAlertsChanged, BudgetAtLimitChanged)
"""Each says anew what its fields, which are the budget's own, are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    name: str
    description: str | None
    period: Period
    time_zone: str
    hard_limit_nanos: int
    soft_limit_nanos: int | None
    scope: Scope
    at_limit: AtLimit
    starting_spend_nanos: int
    """Of this generation."""
    alert_thresholds: tuple[int, ...]
    generation: int
    generation_began_at: datetime
    """When it was opened or last reset."""
    enabled: bool
    closed: bool
    created_at: datetime
    updated_at: datetime
    readable: bool = True


BUDGETS: Final = Kind[str, Budget]("budget")

BudgetCommand = OpenBudget | ChangeBudget | ResetBudget | CloseBudget


def decide(command: BudgetCommand, budget: Budget | None, now: datetime) -> Iterator[Event]:
    match command, budget:
        case _, Budget(readable=False):
            raise Unreadable
        case OpenBudget(), None | Budget(closed=True):
            yield from _open(command, 1 if budget is None else budget.generation + 1)
        case OpenBudget(), _:
            raise Conflict(f"Budget {command.budget_id} already exists", param="id")
        case _, None | Budget(closed=True):
            raise NotFound(f"There is no budget {command.budget_id}")
        case ChangeBudget(), Budget():
            yield from _change(command, budget)
        case ResetBudget(), Budget():
            yield BudgetReset(generation=budget.generation + 1)
        case CloseBudget(), _:
            yield BudgetClosed()


def _open(command: OpenBudget, generation: int) -> Iterator[Event]:
    _check_limits(command.hard_limit_nanos, command.soft_limit_nanos)
    _check_amount("starting_spend_usd", command.starting_spend_nanos)
    yield BudgetOpened(
        name=command.name,
        period=_period(command.period),
        hard_limit_nanos=command.hard_limit_nanos,
        generation=generation,
        description=command.description,
        soft_limit_nanos=command.soft_limit_nanos,
        scope=Scope(**{part: getattr(command, part) for part in SCOPE}),
        at_limit=command.at_limit,
        time_zone=_time_zone(command.time_zone),
        starting_spend_nanos=command.starting_spend_nanos,
        alert_thresholds=_thresholds(command.alert_thresholds),
    )
    if not command.enabled:
        yield BudgetDisabled()


def _change(command: ChangeBudget, budget: Budget) -> Iterator[Event]:
    parts = {part: value for part, value in said(command, but=()).items() if part in SCOPE}
    changed = replace(
        budget,
        scope=budget.scope.model_copy(update=parts),
        **said(command, but=("budget_id", "enabled", *SCOPE), clearable=("soft_limit_nanos",)),
    )
    changed = replace(changed, alert_thresholds=_thresholds(changed.alert_thresholds))
    _check_limits(changed.hard_limit_nanos, changed.soft_limit_nanos)
    yield from facts(FACTS, budget, changed)
    if command.enabled is not None and command.enabled != budget.enabled:
        yield BudgetEnabled() if command.enabled else BudgetDisabled()


def _check_limits(hard_limit_nanos: int, soft_limit_nanos: int | None) -> None:
    if hard_limit_nanos <= 0:
        raise Invalid("hard_limit_usd must be positive", param="hard_limit_usd")
    _check_amount("hard_limit_usd", hard_limit_nanos)
    if soft_limit_nanos is None:
        return
    _check_amount("soft_limit_usd", soft_limit_nanos)
    if soft_limit_nanos >= hard_limit_nanos:
        raise Invalid("Soft limit must be less than hard limit", param="soft_limit_usd")


def _check_amount(name: str, nanos: int) -> None:
    if nanos < 0:
        raise Invalid(f"{name} must not be negative", param=name)
    if nanos > USD_MAX * NANOS_PER_USD:
        raise Invalid(f"{name} must not exceed {USD_MAX} US dollars", param=name)


def _period(word: str) -> Period:
    try:
        return Period(word)
    except ValueError:
        raise Invalid(f"Invalid budget period: it must be one of {', '.join(Period)}", param="period") from None


def _time_zone(name: str) -> str:
    if name not in TIME_ZONES:
        raise Invalid("time_zone must be the name of a time zone, as in UTC or Europe/Berlin", param="time_zone")
    return name


def _thresholds(percents: tuple[int, ...]) -> tuple[int, ...]:
    if any(percent < 0 for percent in percents):
        raise Invalid("alert_thresholds must not be negative", param="alert_thresholds")
    return tuple(sorted({min(percent, PERCENT_MAX) for percent in percents}))


def evolve(budget: Budget | None, recorded: Recorded[Any]) -> Budget | None:
    match recorded.event, budget:
        case BudgetOpened() as opened, _:
            readable = opened.time_zone in TIME_ZONES and (budget is None or budget.readable)
            return replace(_blank(recorded.at), **dict(opened), readable=readable)
        case UnknownEvent(), _:
            return replace(budget or _blank(recorded.at), readable=False, updated_at=recorded.at)
        case event, Budget(closed=False) if changes := _changes(event, recorded.at):
            return replace(budget, updated_at=recorded.at, **changes)
    return budget


def _blank(at: datetime) -> Budget:
    """Of a budget that opened in a way that can't be read nothing is known, so it binds everyone."""
    return Budget(
        name="",
        description=None,
        period=Period.LIFETIME,
        time_zone="UTC",
        hard_limit_nanos=0,
        soft_limit_nanos=None,
        scope=Scope(),
        at_limit=AtLimit.REJECT,
        starting_spend_nanos=0,
        alert_thresholds=(),
        generation=0,
        generation_began_at=at,
        enabled=True,
        closed=False,
        created_at=at,
        updated_at=at,
    )


def _changes(event: Event, at: datetime) -> dict[str, Any]:
    match event:
        case BudgetDisabled():
            return {"enabled": False}
        case BudgetEnabled():
            return {"enabled": True}
        case BudgetReset(generation=generation):
            return {"generation": generation, "generation_began_at": at, "starting_spend_nanos": 0}
        case BudgetClosed():
            return {"closed": True}
    return dict(event) if type(event) in FACTS else {}


decider = Decider[Budget](
    category="budget",
    identity="budget_id",
    kind=BUDGETS,
    commands=(OpenBudget, ChangeBudget, ResetBudget, CloseBudget),
    events=(BudgetOpened, *FACTS, BudgetDisabled, BudgetEnabled, BudgetReset, BudgetClosed),
    decide=decide,
    evolve=evolve,
)
