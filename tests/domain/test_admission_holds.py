"""What is held: which budgets bind, how much is set aside on them, and how long an answer may be near a limit.

A prompt token costs 1 nano-dollar here, a token of the answer 4: 100 prompt tokens and a cap of 1,000 hold 4,100.
"""

from typing import Any

import pytest

from domain.budget import events as budget
from domain.budget.events import AtLimit, Scope
from domain.completion.commands import RaiseHold
from domain.completion.events import CompletionHoldRaised, Hold
from domain.errors import BudgetExceeded, Conflict, NotFound
from domain.model.events import ModelConfig
from domain.price import Category, Tier
from domain.time import EPOCH, Period
from tests.domain.gateway import NANO_PER_TOKEN, RATES, Gateway
from tests.examples import TODAY

REJECT = AtLimit.REJECT


@pytest.fixture
def gateway() -> Gateway:
    return Gateway().furnished()


def held_on(gateway: Gateway, **asked: Any) -> list[str]:
    return [hold.budget_id for hold in gateway.admit(**asked).holds]


def exceeded(gateway: Gateway, **asked: Any) -> BudgetExceeded:
    with pytest.raises(BudgetExceeded) as refusal:
        gateway.admit(**asked)
    return refusal.value


def test_the_hold_is_prompt_bound_and_cap_at_the_models_rates(gateway: Gateway) -> None:
    gateway.open_budget("b", 100_000)
    assert gateway.admit(output_cap=1_000).holds == (Hold(budget_id="b", generation=1, period_start=TODAY, nanos=4_100),)


def test_choices_multiply_the_answer_and_images_lengthen_the_prompt(gateway: Gateway) -> None:
    gateway.open_budget("b", 100_000)
    assert gateway.admit(output_cap=10, choices=5, image_count=1).holds[0].nanos == 100 + 2_048 + 4 * 50


def test_the_hold_assumes_the_dearest_category_and_the_dearest_tier(gateway: Gateway) -> None:
    gateway.open_budget("b", 1_000_000)
    dear = {
        Category.INPUT: (Tier(nanos_per_million=1), Tier(nanos_per_million=2 * NANO_PER_TOKEN, above_prompt_tokens=1_000)),
        Category.CACHE_WRITE: (Tier(nanos_per_million=3 * NANO_PER_TOKEN),),
        Category.OUTPUT_AUDIO: (Tier(nanos_per_million=9 * NANO_PER_TOKEN),),
        Category.REQUEST: (Tier(nanos_per_million=7_000 * NANO_PER_TOKEN),),
    }
    gateway.price_model("m", dear, number=2)
    assert gateway.admit(output_cap=10).holds[0].nanos == 300 + 90 + 7_000


def test_the_hold_is_that_of_the_dearest_step(gateway: Gateway) -> None:
    gateway.open_budget("b", 1_000_000)
    gateway.price_model("n", {Category.OUTPUT: (Tier(nanos_per_million=20 * NANO_PER_TOKEN),)}, number=2)
    admitted = gateway.admit(output_cap=10, route=("m", "n"))
    assert admitted.holds[0].nanos == 200
    assert [step.price_id for step in admitted.route] == ["m.1", "n.2"]


def test_a_hold_is_rounded_up(gateway: Gateway) -> None:
    gateway.open_budget("b", 1_000_000)
    gateway.price_model("m", {Category.OUTPUT: (Tier(nanos_per_million=1),)}, number=2)
    assert gateway.admit(output_cap=1).holds[0].nanos == 1


def test_it_is_held_on_all_budgets_that_bind_the_call(gateway: Gateway) -> None:
    gateway.add_team("u")
    gateway.add_key("k2", team_id="u")
    for budget_id, scope in {
        "all": Scope(),
        "key": Scope(api_key_ids=frozenset({"k"})),
        "team": Scope(team_ids=frozenset({"t"})),
        "mixed": Scope(api_key_ids=frozenset({"k2"}), team_ids=frozenset({"t"})),
        "model": Scope(model_ids=frozenset({"m"})),
        "team-and-model": Scope(team_ids=frozenset({"t"}), model_ids=frozenset({"n"})),
    }.items():
        gateway.open_budget(budget_id, 10**9, **dict(scope))
    assert held_on(gateway) == ["all", "key", "mixed", "model", "team"]
    assert held_on(gateway, model_id="n") == ["all", "key", "mixed", "team", "team-and-model"]
    assert held_on(gateway, api_key_id="k2") == ["all", "mixed", "model"]
    assert held_on(gateway, api_key_id="k2", model_id="n") == ["all", "mixed"]


def test_a_budget_that_names_key_and_team_is_held_on_once(gateway: Gateway) -> None:
    gateway.open_budget("b", 10**9, api_key_ids=frozenset({"k"}), team_ids=frozenset({"t"}))
    assert held_on(gateway) == ["b"]


def test_a_budget_for_a_model_binds_a_route_that_may_reach_it_and_says_for_which_steps(gateway: Gateway) -> None:
    gateway.open_budget("b", 10**9, model_ids=frozenset({"n"}))
    gateway.open_budget("whole", 10**9, model_ids=frozenset({"m"}))
    admitted = gateway.admit(route=("m", "n"))
    assert {hold.budget_id: hold.model_ids for hold in admitted.holds} == {"b": ("n",), "whole": ()}


@pytest.mark.parametrize("event", [budget.BudgetDisabled(), budget.BudgetClosed()])
def test_a_disabled_or_closed_budget_binds_nobody(gateway: Gateway, event: Any) -> None:
    gateway.open_budget("b", 1)
    gateway.happened("budget/b", event)
    assert held_on(gateway) == []


def test_an_enabled_budget_binds_again(gateway: Gateway) -> None:
    gateway.open_budget("b", 10**9)
    gateway.happened("budget/b", budget.BudgetDisabled())
    gateway.happened("budget/b", budget.BudgetEnabled())
    assert held_on(gateway) == ["b"]


def test_a_changed_scope_binds_others(gateway: Gateway) -> None:
    gateway.open_budget("b", 10**9, team_ids=frozenset({"u"}))
    assert held_on(gateway) == []
    gateway.happened("budget/b", budget.BudgetScopeChanged(scope=Scope(api_key_ids=frozenset({"k"}))))
    assert held_on(gateway) == ["b"]
    gateway.happened("budget/b", budget.BudgetScopeChanged(scope=Scope(api_key_ids=frozenset({"other"}))))
    assert held_on(gateway) == []


@pytest.mark.parametrize(
    ("period", "start"),
    [(Period.DAILY, TODAY), (Period.WEEKLY, TODAY.replace(day=2)), (Period.MONTHLY, TODAY.replace(day=1)), (Period.LIFETIME, EPOCH)],
)
def test_a_hold_names_the_period_of_the_batchs_time(gateway: Gateway, period: Period, start: Any) -> None:
    gateway.open_budget("b", 10**9, period=period)
    assert gateway.admit().holds[0].period_start == start


# At the limit


def test_a_reject_budget_admits_exactly_what_fits(gateway: Gateway) -> None:
    gateway.open_budget("b", 3 * 4_100 + 4_099, at_limit=REJECT)
    assert [gateway.admit().output_cap for _ in range(3)] == [1_000] * 3
    refusal = exceeded(gateway)
    assert refusal.budget_id == "b"
    assert refusal.code == "insufficient_quota"
    assert "budget b" in refusal.message
    assert "$0.0000041" in refusal.message
    assert "$0.000004099" in refusal.message


def test_a_hold_may_take_the_last_nano(gateway: Gateway) -> None:
    gateway.open_budget("b", 4_100, at_limit=REJECT)
    gateway.admit()


def test_the_first_budget_that_lacks_is_named(gateway: Gateway) -> None:
    gateway.open_budget("a", 10**9)
    gateway.open_budget("z", 1)
    gateway.open_budget("y", 1)
    assert exceeded(gateway).budget_id == "y"


def test_a_clients_own_cap_fits_or_is_refused(gateway: Gateway) -> None:
    gateway.open_budget("b", 4_100)
    admitted = gateway.admit(output_cap=1_000)
    assert (admitted.output_cap, admitted.output_cap_chosen) == (1_000, False)
    exceeded(gateway, output_cap=1)


def test_a_clients_own_cap_is_not_changed_to_the_models_maximum(gateway: Gateway) -> None:
    assert gateway.admit(output_cap=5_000).output_cap == 5_000


def test_without_a_cap_it_is_the_models_maximum(gateway: Gateway) -> None:
    admitted = gateway.admit()
    assert (admitted.output_cap, admitted.output_cap_chosen) == (1_000, True)


def test_the_models_default_is_a_maximum_too_and_the_least_step_decides(gateway: Gateway) -> None:
    gateway.add_model("short", config=ModelConfig(max_tokens=300))
    gateway.add_model("shorter", max_output_tokens=200, config=ModelConfig(max_tokens=500))
    assert gateway.admit(model_id="short").output_cap == 300
    assert gateway.admit(model_id="short", route=("short", "shorter")).output_cap == 200


def test_a_clamp_budget_spends_an_eighth_of_what_is_free_on_the_whole_hold(gateway: Gateway) -> None:
    gateway.open_budget("b", 16_000)
    admitted = gateway.admit()
    assert (admitted.output_cap, admitted.holds[0].nanos) == ((2_000 - 100) // 4, 2_000)
    assert admitted.output_cap_chosen
    assert gateway.admit().output_cap == (14_000 // 8 - 100) // 4


def test_the_clamped_cap_is_shared_by_the_choices(gateway: Gateway) -> None:
    gateway.open_budget("b", 32_000)
    admitted = gateway.admit(choices=3)
    assert admitted.output_cap == (4_000 - 100) // 4 // 3
    assert admitted.holds[0].nanos <= 4_000


def test_an_answer_is_not_clamped_below_256_tokens(gateway: Gateway) -> None:
    gateway.open_budget("b", 100 + 4 * 256)
    assert gateway.admit().output_cap == 256
    exceeded(gateway)


def test_a_model_that_answers_shorter_is_not_stretched_to_256_tokens(gateway: Gateway) -> None:
    gateway.add_model("brief", max_output_tokens=50)
    gateway.open_budget("b", 300)
    assert gateway.admit(model_id="brief").output_cap == 50


def test_where_256_tokens_do_not_fit_it_is_refused_with_the_budgets_name(gateway: Gateway) -> None:
    gateway.open_budget("b", 100 + 4 * 256 - 1)
    assert exceeded(gateway).budget_id == "b"


def test_the_tightest_clamp_budget_decides(gateway: Gateway) -> None:
    gateway.open_budget("loose", 10**9)
    gateway.open_budget("tight", 16_000)
    gateway.open_budget("tightest-but-strict", 4_000, at_limit=REJECT)
    admitted = gateway.admit()
    assert admitted.output_cap == 475
    assert {hold.nanos for hold in admitted.holds} == {2_000}


def test_a_reject_budget_never_shrinks_a_cap(gateway: Gateway) -> None:
    gateway.open_budget("b", 4_099, at_limit=REJECT)
    exceeded(gateway)


def test_the_clamped_cap_is_right_at_the_dearest_step(gateway: Gateway) -> None:
    gateway.open_budget("b", 80_000)
    gateway.price_model("n", {Category.OUTPUT: (Tier(nanos_per_million=20 * NANO_PER_TOKEN),)}, number=2)
    admitted = gateway.admit(route=("m", "n"))
    assert (admitted.output_cap, admitted.holds[0].nanos) == (500, 10_000)


def test_a_free_model_holds_nothing_and_is_not_clamped(gateway: Gateway) -> None:
    gateway.price_model("m", {}, number=2)
    gateway.open_budget("b", 1)
    admitted = gateway.admit()
    assert (admitted.output_cap, admitted.holds[0].nanos) == (1_000, 0)


def test_a_free_model_is_refused_only_beyond_the_limit(gateway: Gateway) -> None:
    gateway.price_model("m", {}, number=2)
    gateway.open_budget("full", 500, starting_spend_nanos=500)
    gateway.admit()
    gateway.happened("budget/full", budget.BudgetLimitChanged(hard_limit_nanos=499))
    exceeded(gateway)


def test_an_answer_that_costs_nothing_is_not_clamped(gateway: Gateway) -> None:
    gateway.price_model("m", {Category.INPUT: RATES[Category.INPUT]}, number=2)
    gateway.open_budget("b", 100)
    assert gateway.admit().output_cap == 1_000


def test_a_limit_lowered_below_what_is_held_refuses_until_it_fits_again(gateway: Gateway) -> None:
    gateway.open_budget("b", 10_000, at_limit=REJECT)
    gateway.admit("c1")
    gateway.happened("budget/b", budget.BudgetLimitChanged(hard_limit_nanos=4_200))
    exceeded(gateway, output_cap=1)
    gateway.settle("c1")
    gateway.admit(output_cap=1)


def test_the_soft_limit_refuses_nobody(gateway: Gateway) -> None:
    gateway.open_budget("b", 4_100, soft_limit_nanos=1, at_limit=REJECT)
    gateway.admit()


# Raising a hold


def test_a_hold_is_raised_by_the_prompt_of_the_failed_attempt(gateway: Gateway) -> None:
    gateway.open_budget("b", 10_000)
    gateway.admit("c1", output_cap=1_000)
    (raised,) = gateway.ask(RaiseHold(completion_id="c1"))
    assert raised == CompletionHoldRaised(holds=(Hold(budget_id="b", generation=1, period_start=TODAY, nanos=100),))


def test_a_hold_is_raised_within_the_limit_in_force(gateway: Gateway) -> None:
    gateway.open_budget("b", 4_299)
    gateway.admit("c1", output_cap=1_000)
    gateway.ask(RaiseHold(completion_id="c1"))
    with pytest.raises(BudgetExceeded):
        gateway.ask(RaiseHold(completion_id="c1"))


def test_a_hold_of_a_closed_budget_is_raised_without_asking_it(gateway: Gateway) -> None:
    gateway.open_budget("b", 4_100)
    gateway.admit("c1", output_cap=1_000)
    gateway.happened("budget/b", budget.BudgetClosed())
    assert gateway.ask(RaiseHold(completion_id="c1"))


def test_a_hold_stays_in_its_period_when_it_is_raised(gateway: Gateway) -> None:
    gateway.open_budget("b", 10_000)
    gateway.admit("c1", output_cap=1_000)
    gateway.later(days=1)
    gateway.admit("c2", output_cap=1_000)
    (raised,) = gateway.ask(RaiseHold(completion_id="c1"))
    assert isinstance(raised, CompletionHoldRaised)
    assert raised.holds[0].period_start == TODAY


def test_nothing_is_raised_where_nothing_is_held(gateway: Gateway) -> None:
    gateway.admit("c1")
    assert gateway.ask(RaiseHold(completion_id="c1")) == []


def test_an_ended_completion_has_no_hold_to_raise(gateway: Gateway) -> None:
    gateway.admit("c1")
    gateway.settle("c1")
    with pytest.raises(Conflict):
        gateway.ask(RaiseHold(completion_id="c1"))
    with pytest.raises(NotFound):
        gateway.ask(RaiseHold(completion_id="never"))
