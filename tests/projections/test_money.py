"""Budgets and what is held on them: events in, rows out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from domain.time import EPOCH, Period
from projections import budgets, holds
from tests import examples as a
from tests.projections.handwritten import BEGAN, HandwrittenLog, projected, rows

Connection = psycopg.AsyncConnection[Any]
ACCOUNT = {"budget_id": "b", "generation": 1, "period_start": EPOCH}
LIFETIME = {"period": Period.LIFETIME, "time_zone": "UTC"}


async def balance(connection: Connection, now: datetime = BEGAN) -> tuple[int, int]:
    (standing,) = await budgets.select(connection, "main", "b", now=now)
    return standing.balance.settled_nanos, standing.balance.held_nanos


async def test_a_budget_holds_and_settles(log: HandwrittenLog, connection: Connection) -> None:
    opened = a.budget_opened(**LIFETIME, starting_spend_nanos=5)
    admitted = a.completion_admitted(holds=(a.hold(**ACCOUNT, nanos=100),))
    log.write(("budget/b", opened), ("completion/c", admitted), ("completion/d", admitted))
    projected(log.url)
    assert await balance(connection) == (5, 200)
    log.write(("completion/c", a.completion_hold_raised(holds=(a.hold(**ACCOUNT, nanos=30),))))
    log.write(("completion/d", a.completion_settled(holds=(a.hold_outcome(**ACCOUNT, spent_nanos=60),))))
    projected(log.url)
    assert await balance(connection) == (65, 130)
    log.write(("completion/c", a.completion_settled(holds=(a.hold_outcome(**ACCOUNT, spent_nanos=130),), recovered=True)))
    log.write(("completion/c", a.completion_corrected(holds=(a.hold_correction(**ACCOUNT, spent_nanos=10, moved_nanos=-120),))))
    projected(log.url)
    assert await balance(connection) == (75, 0)
    assert rows(log.url, "holds") == []


async def test_a_reset_and_a_new_period_begin_at_nothing(log: HandwrittenLog, connection: Connection) -> None:
    today, tomorrow = datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 5, 9, tzinfo=UTC)
    account = {"budget_id": "b", "generation": 1, "period_start": today}
    log.write(("budget/b", a.budget_opened(time_zone="UTC", starting_spend_nanos=0)))
    log.write(("completion/c", a.completion_admitted(holds=(a.hold(**account, nanos=100),))))
    log.write(("completion/d", a.completion_settled()), ("budget/x", a.budget_reset()))
    projected(log.url)
    assert await balance(connection) == (0, 100)
    assert await balance(connection, tomorrow) == (0, 0)
    log.write(("budget/b", a.budget_reset(generation=2)))
    projected(log.url)
    assert await balance(connection) == (0, 0)
    (standing,) = await budgets.select(connection, "main", "b", now=BEGAN)
    assert (standing.budget.generation, standing.balance.period_end) == (2, today + timedelta(days=1))
    assert [hold.completion_id for hold in (await holds.on_budget(connection, "main", "b", 1, after="", limit=10)).rows] == ["c"]
    assert (await holds.on_budget(connection, "main", "b", 2, after="", limit=10)).rows == []


async def test_a_budgets_rules_are_those_last_said(log: HandwrittenLog, connection: Connection) -> None:
    log.write(("budget/b", a.budget_opened(**LIFETIME)), ("budget/b", a.budget_limit_changed(soft_limit_nanos=None)))
    log.write(("budget/b", a.budget_scope_changed()), ("budget/b", a.budget_disabled()), ("budget/b", a.budget_alerts_changed()))
    projected(log.url)
    (standing,) = await budgets.select(connection, "main", now=BEGAN)
    budget = standing.budget
    assert (budget.hard_limit_nanos, budget.soft_limit_nanos, budget.enabled, budget.alert_thresholds) == (20 * a.USD, None, False, [90])
    assert (budget.scope.team_ids, budget.scope.api_key_ids) == (frozenset({a.TEAM_ID}), frozenset())
    log.write(("budget/b", a.budget_closed()))
    projected(log.url)
    assert await budgets.select(connection, "main", now=BEGAN) == []


async def test_holds_come_in_pages(log: HandwrittenLog, connection: Connection) -> None:
    admitted = a.completion_admitted(holds=(a.hold(**ACCOUNT, nanos=7),))
    log.write(*((f"completion/c{number}", admitted) for number in range(5)))
    projected(log.url)
    first = await holds.on_budget(connection, "main", "b", 1, after="", limit=3)
    rest = await holds.on_budget(connection, "main", "b", 1, after=first.rows[-1].completion_id, limit=3)
    assert ([hold.completion_id for hold in first.rows], first.more) == (["c0", "c1", "c2"], True)
    assert ([hold.completion_id for hold in rest.rows], rest.more) == (["c3", "c4"], False)
    assert first.rows[1] == holds.Held("c1", a.API_KEY_ID, EPOCH, 7, BEGAN + timedelta(seconds=2), a.PROCESS_ID)
