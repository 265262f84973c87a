"""Budgets as administrators see them: their rules, and what was spent in each period of each generation."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.budget.events import (
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
from domain.completion.events import CompletionCorrected, CompletionSettled
from domain.kernel import Event, Recorded
from domain.time import Period, period_end, period_start
from projections.entities import DELETED, KEY, LIFE, lifecycle, project_entities
from projections.holds import HOLDS
from projections.reading import Connection, rows_of
from projections.tables import Cursor, Key, Kinds, Row, Table

NAME: Final = "budgets"
STATUSES: Final[dict[type[Event], str]] = {
    BudgetOpened: "enabled",
    BudgetEnabled: "enabled",
    BudgetDisabled: "disabled",
    BudgetClosed: DELETED,
}
FACTS: Final = (BudgetDescribed, BudgetLimitChanged, BudgetScopeChanged, BudgetAlertsChanged, BudgetAtLimitChanged)
SPENDING: Final = (CompletionSettled, CompletionCorrected)
EVENTS: Final[Kinds] = (*STATUSES, *FACTS, BudgetReset, *SPENDING)

BUDGETS: Final = Table(
    "budgets",
    key=KEY,
    values={
        "name": "text",
        "description": "text",
        "period": "text",
        "time_zone": "text",
        "hard_limit_nanos": "bigint",
        "soft_limit_nanos": "bigint",
        "scope": "json",
        "at_limit": "text",
        "starting_spend_nanos": "bigint",
        "alert_thresholds": "json",
        "generation": "bigint",
        "generation_began_at": "timestamptz",
        **LIFE,
    },
)
SPENT: Final = Table(
    "budgets_spent",
    key={"org": "text", "budget_id": "text", "generation": "bigint", "period_start": "timestamptz"},
    values={"settled_nanos": "bigint"},
)
"""What is held stands in `holds`, hold by hold."""
TABLES: Final = (BUDGETS, SPENT)

LIFECYCLE: Final = lifecycle(BudgetOpened, STATUSES)


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    project_entities(BUDGETS, fold, [recorded for recorded in batch if not isinstance(recorded.event, SPENDING)], cursor)
    spent: dict[Key, int] = {}
    for recorded in batch:
        for budget_id, generation, began, nanos in moved(recorded):
            account = recorded.org, budget_id, generation, began
            spent[account] = spent.get(account, 0) + nanos
    SPENT.add(cursor, {account: (nanos,) for account, nanos in spent.items()})


def fold(budget: Row | None, recorded: Recorded[Any]) -> Row | None:
    row = LIFECYCLE(budget, recorded)
    match recorded.event:
        case BudgetOpened():
            return row and row | {"generation_began_at": recorded.at}
        case BudgetReset():
            return row and row | {"generation_began_at": recorded.at, "starting_spend_nanos": 0}
    return row


def moved(recorded: Recorded[Any]) -> Sequence[tuple[str, int, datetime, int]]:
    """What an event settles, and where: the budget, its generation and period."""
    match recorded.event:
        case BudgetOpened(starting_spend_nanos=nanos) as opened if nanos:
            return [(recorded.id, opened.generation, period_start(opened.period, opened.time_zone, recorded.at), nanos)]
        case CompletionSettled(holds=outcomes):
            return [(each.budget_id, each.generation, each.period_start, each.spent_nanos) for each in outcomes]
        case CompletionCorrected(holds=corrections):
            return [(each.budget_id, each.generation, each.period_start, each.moved_nanos) for each in corrections]
    return ()


class Budget(NamedTuple):
    """Its rules."""

    id: str
    name: str
    description: str | None
    period: str
    time_zone: str
    hard_limit_nanos: int
    soft_limit_nanos: int | None
    scope: Scope
    at_limit: str
    starting_spend_nanos: int
    alert_thresholds: list[int]
    generation: int
    generation_began_at: datetime
    status: str
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def enabled(self) -> bool:
        return self.status == "enabled"


class Balance(NamedTuple):
    """Where a budget stands in one period of one generation."""

    period_start: datetime
    period_end: datetime | None
    """None: the period never ends."""
    settled_nanos: int
    held_nanos: int


class Standing(NamedTuple):
    """A budget, and where it stands around the moment that was asked for."""

    budget: Budget
    balance: Balance

    @property
    def id(self) -> str:
        return self.budget.id

    @property
    def version(self) -> int:
        return self.budget.version


BALANCES: Final = f"""
SELECT coalesce(settled_nanos, 0), coalesce(held_nanos, 0)
FROM unnest(%(ids)s::text[], %(generations)s::bigint[], %(starts)s::timestamptz[]) WITH ORDINALITY
     AS asked (budget_id, generation, period_start, place)
LEFT JOIN (SELECT * FROM {SPENT.name} WHERE org = %(org)s) AS spent USING (budget_id, generation, period_start)
LEFT JOIN (
    SELECT budget_id, generation, period_start, sum(nanos)::bigint AS held_nanos FROM {HOLDS.name}
    WHERE org = %(org)s AND budget_id = ANY(%(ids)s) GROUP BY budget_id, generation, period_start
) AS held USING (budget_id, generation, period_start)
ORDER BY place
"""  # noqa: S608


async def select(connection: Connection, org: str, budget_id: str | None = None, *, now: datetime) -> list[Standing]:
    """All, or one, each with its balance around `now`."""
    budgets = await rows_of(connection, BUDGETS, Budget, org, budget_id)
    starts = [period_start(Period(each.period), each.time_zone, now) for each in budgets]
    asked = {"ids": [each.id for each in budgets], "generations": [each.generation for each in budgets], "starts": starts, "org": org}
    money = await (await connection.execute(BALANCES.encode(), asked)).fetchall() if budgets else []
    return [_standing(budget, start, *amounts) for budget, start, amounts in zip(budgets, starts, money, strict=True)]


def _standing(budget: Budget, start: datetime, settled_nanos: int, held_nanos: int) -> Standing:
    end = period_end(Period(budget.period), budget.time_zone, start)
    return Standing(budget._replace(scope=Scope.model_validate(budget.scope)), Balance(start, end, settled_nanos, held_nanos))
