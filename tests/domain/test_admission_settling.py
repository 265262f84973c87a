"""How a completion ends: priced at what held when it was admitted, charged where it was held, once and whatever happens.

A prompt token costs 1 nano-dollar here, a token of the answer 4.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from domain.admission.ledger import balance
from domain.admission.settle import ERROR_CODE_MAX
from domain.budget import events as budget
from domain.budget.events import Scope
from domain.completion.commands import AttemptMade, RaiseHold, RecoverCompletion, ReportProgress, SettleCompletion
from domain.completion.events import (
    CompletionCorrected,
    CompletionProgressed,
    CompletionSettled,
    EndReason,
    HoldCorrection,
    HoldOutcome,
)
from domain.errors import NotFound
from domain.kernel import Event
from domain.model.events import ModelPublished, ModelRetired
from domain.price import Category, CostLine, Tier
from tests.domain.gateway import NANO_PER_TOKEN, Gateway, made
from tests.examples import TODAY


@pytest.fixture
def gateway() -> Gateway:
    gateway = Gateway().furnished()
    gateway.open_budget("b", 1_000_000)
    return gateway


def money(gateway: Gateway, budget_id: str = "b") -> tuple[int, int]:
    stands = balance(gateway.view, budget_id, gateway.at)
    return stands.settled_nanos, stands.held_nanos


def recover(gateway: Gateway, completion_id: str = "c1") -> Sequence[Event]:
    return gateway.ask(RecoverCompletion(completion_id=completion_id))


def test_a_settlement_charges_what_was_used_and_frees_the_rest(gateway: Gateway) -> None:
    gateway.admit()
    assert money(gateway) == (0, 4_100)
    settled = gateway.settled("c1", made(input=80, output=20))
    assert settled.cost_nanos == 160
    assert settled.usage_source == "reported"
    assert settled.holds == (HoldOutcome(budget_id="b", generation=1, period_start=TODAY, spent_nanos=160),)
    assert settled.attempts[0].cost_lines == (
        CostLine(category=Category.INPUT, quantity=80, nanos_per_million=NANO_PER_TOKEN),
        CostLine(category=Category.OUTPUT, quantity=20, nanos_per_million=4 * NANO_PER_TOKEN),
    )
    assert (settled.attempts[0].price_id, settled.attempts[0].cost_nanos, settled.overrun_nanos) == ("m.1", 160, 0)
    assert money(gateway) == (160, 0)


def test_the_same_completion_is_settled_once(gateway: Gateway) -> None:
    gateway.admit()
    gateway.settle("c1", made(output=1))
    assert gateway.settle("c1", made(output=999)) == []
    assert money(gateway) == (4, 0)


def test_what_the_settlement_says_of_the_call_is_kept(gateway: Gateway) -> None:
    gateway.admit()
    attempt = AttemptMade(
        model_id="m",
        provider="openai",
        outcome="succeeded",
        status=200,
        first_byte_ms=5,
        latency_ms=9,
        usage={"input": 1},
        usage_source="reported",
        raw_usage={"prompt_tokens": 1},
    )
    command = SettleCompletion(completion_id="c1", end_reason=EndReason.CUT, attempts=(attempt,), latency_ms=12, overhead_ms=0.5)
    (settled,) = gateway.ask(command)
    assert isinstance(settled, CompletionSettled)
    assert (settled.end_reason, settled.latency_ms, settled.overhead_ms) == (EndReason.CUT, 12, 0.5)
    assert settled.attempts[0].model_dump(exclude={"price_id", "cost_nanos", "cost_lines"}) == attempt.model_dump()


def test_the_price_is_the_one_at_admission(gateway: Gateway) -> None:
    gateway.admit("c1")
    gateway.price_model("m", {Category.OUTPUT: (Tier(nanos_per_million=100 * NANO_PER_TOKEN),)}, number=2)
    gateway.admit("c2")
    assert gateway.settled("c1", made(output=1)).cost_nanos == 4
    assert gateway.settled("c2", made(output=1)).cost_nanos == 100


def test_a_model_that_was_retired_and_published_anew_still_costs_what_it_did(gateway: Gateway) -> None:
    gateway.admit("c1")
    content = next(each.event.content for each in gateway.events if isinstance(each.event, ModelPublished))
    gateway.happened("model/m", ModelRetired())
    gateway.happened("model/m", ModelPublished(version=2, content=content))
    assert gateway.settled("c1", made(output=2)).cost_nanos == 8


def test_the_cost_is_rounded_once_over_all_lines(gateway: Gateway) -> None:
    gateway.price_model("m", {Category.INPUT: (Tier(nanos_per_million=250_000),)}, number=2)
    gateway.admit()
    settled = gateway.settled("c1", made(input=1), made(input=1))
    assert [attempt.cost_nanos for attempt in settled.attempts] == [0, 0]
    assert settled.cost_nanos == 1


def test_an_overrun_is_recorded_in_full_and_the_budget_refuses_until_it_fits_again(gateway: Gateway) -> None:
    gateway.open_budget("small", 5_000)
    gateway.admit(output_cap=100)
    settled = gateway.settled("c1", made(input=100, output=2_000))
    assert (settled.cost_nanos, settled.overrun_nanos) == (8_100, 8_100 - 500)
    assert money(gateway, "small") == (8_100, 0)
    assert not balance(gateway.view, "small", gateway.at).fits(0)


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_an_attempt_that_was_answered_with_an_error_costs_nothing(gateway: Gateway, outcome: str) -> None:
    gateway.admit()
    settled = gateway.settled("c1", made(outcome=outcome, input=50))
    assert (settled.cost_nanos, settled.attempts[0].cost_nanos, settled.attempts[0].cost_lines) == (0, 0, ())


def test_an_attempt_with_an_unknown_outcome_is_charged_its_prompt_bound(gateway: Gateway) -> None:
    gateway.admit()
    settled = gateway.settled("c1", made(outcome="unknown"))
    assert (settled.cost_nanos, settled.usage_source) == (100, "estimated")
    assert settled.attempts[0].usage == {"input": 100}


def test_an_unknown_outcome_is_charged_what_is_known_of_it(gateway: Gateway) -> None:
    gateway.admit()
    settled = gateway.settled("c1", made(outcome="unknown", source="estimated", input=30, output=5))
    assert (settled.cost_nanos, settled.usage_source) == (50, "estimated")


def test_all_attempts_are_paid_and_a_sum_is_as_sure_as_its_worst_part(gateway: Gateway) -> None:
    gateway.admit()
    gateway.ask(RaiseHold(completion_id="c1"))
    settled = gateway.settled("c1", made(outcome="failed"), made(outcome="unknown"), made(input=90, output=1_000))
    assert (settled.cost_nanos, settled.usage_source, settled.overrun_nanos) == (100 + 4_090, "estimated", 0)


def test_a_completion_that_was_not_sent_costs_nothing(gateway: Gateway) -> None:
    gateway.admit()
    (settled,) = gateway.settle("c1", end_reason=EndReason.NOT_SENT)
    assert isinstance(settled, CompletionSettled)
    assert (settled.cost_nanos, settled.usage_source, settled.attempts) == (0, "none", ())
    assert money(gateway) == (0, 0)


def test_a_usage_that_nobody_can_price_is_kept_and_not_counted(gateway: Gateway) -> None:
    gateway.admit()
    settled = gateway.settled("c1", made(input=10, odd=5, output=-7))
    assert settled.cost_nanos == 10
    assert settled.attempts[0].usage == {"input": 10, "odd": 5, "output": -7}


def test_an_attempt_outside_the_route_takes_the_whole_hold_since_its_price_is_unknown(gateway: Gateway) -> None:
    gateway.admit()
    settled = gateway.settled("c1", made(model_id="elsewhere", output=1))
    assert (settled.cost_nanos, settled.holds[0].spent_nanos) == (None, 4_100)


def test_a_providers_word_is_cut_to_length(gateway: Gateway) -> None:
    gateway.admit()
    attempt = AttemptMade(model_id="m", provider="openai", outcome="refused", error_code="x" * 10_000)
    assert gateway.settled("c1", attempt).attempts[0].error_code == "x" * ERROR_CODE_MAX


def test_a_budget_for_one_model_pays_for_that_models_attempts_alone(gateway: Gateway) -> None:
    gateway.open_budget("of-n", 1_000_000, model_ids=frozenset({"n"}))
    gateway.admit(route=("m", "n"))
    gateway.happened("budget/of-n", budget.BudgetScopeChanged(scope=Scope()))
    settled = gateway.settled("c1", made(model_id="m", outcome="unknown"), made(model_id="n", output=10))
    assert {outcome.budget_id: outcome.spent_nanos for outcome in settled.holds} == {"b": 140, "of-n": 40}
    assert settled.cost_nanos == 140


def test_what_was_never_admitted_can_not_be_settled(gateway: Gateway) -> None:
    for command in (SettleCompletion(completion_id="x", end_reason=EndReason.CUT), RecoverCompletion(completion_id="x")):
        with pytest.raises(NotFound):
            gateway.ask(command)


# Recovery


def test_recovery_charges_a_plain_call_its_whole_hold(gateway: Gateway) -> None:
    gateway.admit()
    (settled,) = recover(gateway)
    assert settled == CompletionSettled(
        end_reason=EndReason.RECOVERED,
        cost_nanos=4_100,
        usage_source="estimated",
        holds=(HoldOutcome(budget_id="b", generation=1, period_start=TODAY, spent_nanos=4_100),),
        recovered=True,
    )
    assert money(gateway) == (4_100, 0)


def test_recovery_charges_a_stream_its_progress_and_a_thousand_tokens_more(gateway: Gateway) -> None:
    gateway.admit(stream=True, output_cap=5_000)
    gateway.ask(ReportProgress(completion_id="c1", output_tokens=700))
    (settled,) = recover(gateway)
    assert isinstance(settled, CompletionSettled)
    assert settled.cost_nanos == settled.holds[0].spent_nanos == 100 + 4 * (700 + 1_024)


def test_recovery_charges_a_stream_no_more_than_its_hold(gateway: Gateway) -> None:
    gateway.admit(stream=True, output_cap=1_000)
    gateway.ask(ReportProgress(completion_id="c1", output_tokens=999_999))
    (settled,) = recover(gateway)
    assert isinstance(settled, CompletionSettled)
    assert settled.holds[0].spent_nanos == 4_100


def test_recovery_charges_no_more_than_the_hold_where_the_longest_prompt_is_not_the_dearest_steps(gateway: Gateway) -> None:
    gateway.add_model("wordy", priced=False, image_tokens_max=5_000)
    gateway.price_model("wordy", {}, number=1)
    gateway.add_model("dear", image_tokens_max=0)
    (hold,) = gateway.admit(stream=True, model_id="wordy", route=("wordy", "dear"), image_count=1, output_cap=10).holds
    (settled,) = recover(gateway)
    assert isinstance(settled, CompletionSettled)
    assert settled.holds[0].spent_nanos == hold.nanos == 140


def test_recovery_of_a_raised_hold_charges_all_of_it(gateway: Gateway) -> None:
    gateway.admit()
    gateway.ask(RaiseHold(completion_id="c1"))
    (settled,) = recover(gateway)
    assert isinstance(settled, CompletionSettled)
    assert settled.cost_nanos == 4_200


def test_recovery_without_a_budget_says_what_it_may_have_cost() -> None:
    gateway = Gateway().furnished()
    gateway.add_model("unpriced", priced=False)
    gateway.admit("c1", output_cap=10)
    gateway.admit("c2", model_id="unpriced")
    assert [event.cost_nanos for name in ("c1", "c2") for event in recover(gateway, name)] == [140, None]  # type: ignore[attr-defined]


def test_recovery_is_silent_once_the_completion_has_ended(gateway: Gateway) -> None:
    gateway.admit("c1")
    recover(gateway)
    assert recover(gateway) == []
    gateway.admit("c2")
    gateway.settle("c2")
    assert recover(gateway, "c2") == []


def test_a_settlement_after_recovery_corrects_it_once(gateway: Gateway) -> None:
    gateway.admit()
    recover(gateway)
    (corrected,) = gateway.settle("c1", made(input=80, output=20))
    assert isinstance(corrected, CompletionCorrected)
    assert (corrected.cost_nanos, corrected.usage_source, corrected.end_reason) == (160, "reported", EndReason.COMPLETED)
    assert corrected.holds == (HoldCorrection(budget_id="b", generation=1, period_start=TODAY, spent_nanos=160, moved_nanos=160 - 4_100),)
    assert money(gateway) == (160, 0)
    assert gateway.settle("c1", made(output=500)) == []
    assert recover(gateway) == []


# Progress


def test_progress_is_noted_while_it_grows(gateway: Gateway) -> None:
    gateway.admit(stream=True)
    assert gateway.ask(ReportProgress(completion_id="c1", output_tokens=10)) == [CompletionProgressed(output_tokens=10)]
    assert gateway.ask(ReportProgress(completion_id="c1", output_tokens=10)) == []
    assert gateway.ask(ReportProgress(completion_id="c1", output_tokens=9)) == []


def test_progress_after_the_end_is_no_news(gateway: Gateway) -> None:
    gateway.admit(stream=True)
    gateway.settle("c1")
    assert gateway.ask(ReportProgress(completion_id="c1", output_tokens=10)) == []


# Where the money goes


@pytest.mark.parametrize("ended", ["settled", "recovered", "corrected"])
def test_it_is_settled_in_the_period_of_the_hold_whatever_period_it_is(gateway: Gateway, ended: str) -> None:
    gateway.admit("c1")
    gateway.later(days=1)
    gateway.admit("c2")
    events: dict[str, Any] = {"settled": lambda: gateway.settle("c1", made(output=5)), "recovered": lambda: recover(gateway)}
    for step in {"settled": ["settled"], "recovered": ["recovered"], "corrected": ["recovered", "settled"]}[ended]:
        (event,) = events[step]()
        assert event.holds[0].period_start == TODAY
        assert money(gateway) == (0, 4_100)


def test_after_a_reset_old_holds_settle_in_the_old_generation(gateway: Gateway) -> None:
    gateway.admit("c1")
    gateway.settle("c1", made(output=5))
    gateway.admit("c2")
    gateway.happened("budget/b", budget.BudgetReset(generation=2))
    assert money(gateway) == (0, 0)
    assert gateway.admit("c3").holds[0].generation == 2
    assert gateway.settled("c2", made(output=5)).holds[0].generation == 1
    assert money(gateway) == (0, 4_100)


def test_a_budget_that_was_closed_and_opened_again_begins_anew(gateway: Gateway) -> None:
    gateway.admit("c1")
    gateway.happened("budget/b", budget.BudgetClosed())
    gateway.open_budget("b", 5_000, generation=2, starting_spend_nanos=70)
    gateway.settle("c1", made(output=5))
    assert money(gateway) == (70, 0)


def test_a_changed_scope_moves_no_past_money(gateway: Gateway) -> None:
    gateway.admit("c1")
    gateway.happened("budget/b", budget.BudgetScopeChanged(scope=Scope(team_ids=frozenset({"u"}), model_ids=frozenset({"n"}))))
    gateway.settle("c1", made(output=5))
    assert money(gateway) == (20, 0)


def test_a_disabled_budget_is_still_charged_for_what_it_held(gateway: Gateway) -> None:
    gateway.admit("c1")
    gateway.happened("budget/b", budget.BudgetDisabled())
    gateway.settle("c1", made(output=5))
    assert money(gateway) == (20, 0)
