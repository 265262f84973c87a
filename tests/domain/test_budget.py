"""The rules of a budget."""

from datetime import timedelta
from typing import Any, Final

import pytest
from pydantic import ValidationError

from domain.budget.budget import evolve
from domain.budget.events import AtLimit, Scope
from domain.errors import Conflict, Invalid, NotFound
from domain.money import NANOS_PER_USD, USD_MAX
from tests.examples import (
    API_KEY_ID,
    MODEL_ID,
    TEAM_ID,
    USD,
    budget_alerts_changed,
    budget_at_limit_changed,
    budget_closed,
    budget_described,
    budget_disabled,
    budget_enabled,
    budget_limit_changed,
    budget_opened,
    budget_reset,
    budget_scope_changed,
    change_budget,
    close_budget,
    open_budget,
    reset_budget,
)
from tests.scenario import NOW, given, recorded

LATER = NOW + timedelta(days=1)


def test_a_budget_is_opened() -> None:
    budget = given().when(open_budget()).then(budget_opened()).state
    assert (budget.generation, budget.generation_began_at, budget.enabled, budget.closed, budget.created_at) == (1, NOW, True, False, NOW)
    assert budget.scope == Scope(api_key_ids=frozenset({API_KEY_ID}), team_ids=frozenset({TEAM_ID}), model_ids=frozenset({MODEL_ID}))


def test_a_budget_can_be_opened_disabled() -> None:
    assert not given().when(open_budget(enabled=False)).then(budget_opened(), budget_disabled()).state.enabled


def test_an_id_is_opened_once() -> None:
    given(budget_opened()).when(open_budget()).then_refused(Conflict, "Budget research-daily already exists", param="id")


def test_opening_again_after_closing_begins_another_generation() -> None:
    past = (budget_opened(), budget_reset(generation=2), budget_disabled(), budget_closed())
    budget = given(*past).when(open_budget(), now=LATER).then(budget_opened(generation=3)).state
    assert (budget.generation, budget.enabled, budget.closed, budget.created_at) == (3, True, False, LATER)


WRONG: Final[list[tuple[dict[str, Any], str, str]]] = [
    ({"period": "yearly"}, "Invalid budget period", "period"),
    ({"hard_limit_nanos": 0, "soft_limit_nanos": None}, "must be positive", "hard_limit_usd"),
    ({"hard_limit_nanos": -USD, "soft_limit_nanos": None}, "must be positive", "hard_limit_usd"),
    ({"hard_limit_nanos": USD_MAX * NANOS_PER_USD + 1}, "must not exceed", "hard_limit_usd"),
    ({"soft_limit_nanos": 10 * USD}, "Soft limit must be less than hard limit", "soft_limit_usd"),
    ({"soft_limit_nanos": -1}, "must not be negative", "soft_limit_usd"),
    ({"starting_spend_nanos": -1}, "must not be negative", "starting_spend_usd"),
    ({"starting_spend_nanos": USD_MAX * NANOS_PER_USD + 1}, "must not exceed", "starting_spend_usd"),
    ({"alert_thresholds": (50, -1)}, "must not be negative", "alert_thresholds"),
    ({"time_zone": "Mars/Olympus_Mons"}, "must be the name of a time zone", "time_zone"),
    ({"time_zone": "../../etc/passwd"}, "must be the name of a time zone", "time_zone"),
    ({"time_zone": ""}, "must be the name of a time zone", "time_zone"),
]


@pytest.mark.parametrize(("wrong", "message", "param"), WRONG)
def test_what_a_budget_can_not_be_opened_with(wrong: dict[str, Any], message: str, param: str) -> None:
    given().when(open_budget(**wrong)).then_refused(Invalid, message, param=param)


@pytest.mark.parametrize(
    ("wrong", "message", "param"), [wrong for wrong in WRONG if not wrong[0].keys() & {"period", "starting_spend_nanos", "time_zone"}]
)
def test_what_a_budget_can_not_be_changed_to(wrong: dict[str, Any], message: str, param: str) -> None:
    given(budget_opened()).when(change_budget(**wrong)).then_refused(Invalid, message, param=param)


def test_a_hard_limit_is_not_lowered_to_the_soft_one() -> None:
    opened = budget_opened(hard_limit_nanos=10 * USD, soft_limit_nanos=8 * USD)
    given(opened).when(change_budget(hard_limit_nanos=8 * USD)).then_refused(Invalid, "Soft limit must be less than hard limit")
    lowered = change_budget(hard_limit_nanos=8 * USD, soft_limit_nanos=None)
    given(opened).when(lowered).then(budget_limit_changed(hard_limit_nanos=8 * USD, soft_limit_nanos=None)).and_again().then_nothing()


def test_names_have_a_length() -> None:
    for wrong in ({"name": ""}, {"name": "x" * 101}, {"team_ids": {""}}, {"model_ids": {"x" * 101}}, {"budget_id": "a/b"}):
        with pytest.raises(ValidationError):
            open_budget(**wrong)


def test_thresholds_are_capped_and_stand_once_in_order() -> None:
    thresholds = (150, 80, 50, 80, 100)
    given().when(open_budget(alert_thresholds=thresholds)).then(budget_opened(alert_thresholds=(50, 80, 100)))
    changed = given(budget_opened()).when(change_budget(alert_thresholds=(*thresholds, 0)))
    changed.then(budget_alerts_changed(alert_thresholds=(0, 50, 80, 100))).and_again().then_nothing()


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ({"name": "New"}, budget_described(name="New", description="Old")),
        ({"description": "New"}, budget_described(name="Old", description="New")),
        ({"hard_limit_nanos": 11 * USD}, budget_limit_changed(hard_limit_nanos=11 * USD, soft_limit_nanos=8 * USD)),
        ({"soft_limit_nanos": None}, budget_limit_changed(hard_limit_nanos=10 * USD, soft_limit_nanos=None)),
        ({"team_ids": ()}, budget_scope_changed(scope=Scope(model_ids=frozenset({"m"})))),
        ({"api_key_ids": {"k"}}, budget_scope_changed(scope=Scope(api_key_ids={"k"}, team_ids={"t"}, model_ids={"m"}))),
        ({"alert_thresholds": ()}, budget_alerts_changed(alert_thresholds=())),
        ({"at_limit": "clamp"}, budget_at_limit_changed(at_limit=AtLimit.CLAMP)),
        ({"enabled": False}, budget_disabled()),
    ],
)
def test_only_what_is_said_changes(said: dict[str, Any], fact: Any) -> None:
    opened = budget_opened(name="Old", description="Old", scope=Scope(team_ids=frozenset({"t"}), model_ids=frozenset({"m"})))
    given(opened).when(change_budget(**said)).then(fact).and_again().then_nothing()


def test_a_change_yields_each_fact_that_changed() -> None:
    said = change_budget(name="New", hard_limit_nanos=20 * USD, alert_thresholds=(90,), enabled=False)
    changed = given(budget_opened()).when(said)
    changed.then(
        budget_described(name="New", description=budget_opened().description),
        budget_limit_changed(hard_limit_nanos=20 * USD, soft_limit_nanos=8 * USD),
        budget_alerts_changed(alert_thresholds=(90,)),
        budget_disabled(),
    ).and_again().then_nothing()


def test_a_change_that_changes_nothing_is_no_news() -> None:
    given(budget_opened()).when(change_budget()).then_nothing()
    same = change_budget(name=budget_opened().name, hard_limit_nanos=10 * USD, soft_limit_nanos=8 * USD, team_ids={TEAM_ID}, enabled=True)
    given(budget_opened()).when(same).then_nothing()


def test_a_budget_is_disabled_and_enabled_again() -> None:
    assert given(budget_opened(), budget_disabled()).when(change_budget(enabled=True)).then(budget_enabled()).state.enabled


def test_a_reset_begins_another_generation_each_time() -> None:
    reset = given(budget_opened()).when(reset_budget(), now=LATER).then(budget_reset(generation=2))
    assert (reset.state.generation, reset.state.generation_began_at, reset.state.starting_spend_nanos) == (2, LATER, 0)
    assert reset.state.created_at == NOW
    reset.and_again().then(budget_reset(generation=3))


def test_a_budget_is_closed_once() -> None:
    closed = given(budget_opened()).when(close_budget()).then(budget_closed())
    assert closed.state.closed
    closed.and_again().then_refused(NotFound)


@pytest.mark.parametrize("ask", [change_budget, reset_budget, close_budget])
def test_nothing_can_be_asked_of_a_budget_that_is_not_there(ask: type) -> None:
    given().when(ask()).then_refused(NotFound, "There is no budget research-daily")
    given(budget_opened(), budget_closed()).when(ask()).then_refused(NotFound)


def test_a_budget_in_a_time_zone_that_is_not_known_here_can_not_be_read() -> None:
    budget = evolve(None, recorded(budget_opened(time_zone="Mars/Olympus_Mons"), "main/budget/b"))
    assert budget is not None
    assert not budget.readable
