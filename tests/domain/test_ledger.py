"""The ledger's accounts and windows, where the stories of admission don't show their insides."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.admission.ledger import ACCOUNTS, balance
from domain.admission.rates import COUNTS, RateStanding, Standing, rate_standing
from domain.admission.window import DAY, MINUTE, Window, counted, room_after, total
from domain.api_key.events import ApiKeyDeleted, ApiKeyRateLimitsChanged, RateLimits
from domain.budget.events import BudgetLimitChanged
from domain.completion.events import CompletionReadmitted
from domain.errors import NotFound
from domain.time import EPOCH, Period
from tests.domain.gateway import Gateway, made
from tests.examples import TODAY, completion_admitted, hold

SECOND = timedelta(seconds=1)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway().furnished()


def test_a_balance_says_where_a_budget_stands(gateway: Gateway) -> None:
    gateway.open_budget("b", 10_000, starting_spend_nanos=1_000)
    gateway.admit(output_cap=1_000)
    stands = balance(gateway.view, "b", gateway.at)
    assert (stands.generation, stands.period_start, stands.period_end) == (1, TODAY, TODAY + timedelta(days=1))
    assert (stands.settled_nanos, stands.held_nanos, stands.free_nanos) == (1_000, 4_100, 4_900)
    assert stands.fits(4_900)
    assert not stands.fits(4_901)


def test_nothing_less_than_nothing_is_free(gateway: Gateway) -> None:
    gateway.open_budget("b", 10_000, starting_spend_nanos=10_000)
    gateway.happened("budget/b", BudgetLimitChanged(hard_limit_nanos=1))
    assert balance(gateway.view, "b", gateway.at).free_nanos == 0


def test_a_lifetime_has_no_end(gateway: Gateway) -> None:
    gateway.open_budget("b", period=Period.LIFETIME)
    assert balance(gateway.view, "b", gateway.at).period_end is None


def test_there_is_no_balance_without_a_budget(gateway: Gateway) -> None:
    with pytest.raises(NotFound):
        balance(gateway.view, "b", gateway.at)


def test_starting_spend_counts_in_the_first_period_only(gateway: Gateway) -> None:
    gateway.open_budget("b", starting_spend_nanos=1_000)
    gateway.later(days=1)
    assert balance(gateway.view, "b", gateway.at).settled_nanos == 0


def test_a_period_begins_at_midnight_in_the_budgets_time_zone(gateway: Gateway) -> None:
    gateway.open_budget("b", 10_000, time_zone="America/New_York")
    gateway.admit("c1")
    gateway.at = datetime(2026, 3, 5, 4, 59, 59, 999_999, tzinfo=UTC)
    assert balance(gateway.view, "b", gateway.at).held_nanos > 0
    gateway.later(microseconds=1)
    assert balance(gateway.view, "b", gateway.at).held_nanos == 0


def test_a_period_that_is_over_is_kept_while_it_holds_something(gateway: Gateway) -> None:
    gateway.open_budget("b", 100_000)
    gateway.admit("c1", output_cap=1)
    gateway.admit("c2", output_cap=1)
    gateway.later(days=1)
    gateway.admit("c3", output_cap=1)
    gateway.settle("c1", made(output=1))
    account = gateway.view.get(ACCOUNTS, "b")
    assert account is not None
    (earlier,) = account.earlier
    assert (earlier.period_start, earlier.settled_nanos, earlier.held_nanos) == (TODAY, 4, 104)
    gateway.settle("c2", made(output=1))
    account = gateway.view.get(ACCOUNTS, "b")
    assert account is not None
    assert (account.period_start, account.held_nanos, account.earlier) == (TODAY + timedelta(days=1), 104, ())


def test_the_balance_of_an_earlier_moment_can_be_asked_for_while_it_holds_something(gateway: Gateway) -> None:
    """Another process's clock may be a little behind the log's."""
    gateway.open_budget("b", 100_000)
    gateway.admit("c1", output_cap=1)
    yesterday = gateway.at
    gateway.later(days=1)
    gateway.admit("c2", output_cap=2)
    assert balance(gateway.view, "b", yesterday).held_nanos == 104


def test_a_readmitted_hold_of_a_generation_that_was_lost_leaves_the_present_one_alone(gateway: Gateway) -> None:
    gateway.open_budget("b", 100_000)
    gateway.admit("c1", output_cap=1)
    lost = completion_admitted(api_key_id="k", holds=(hold(budget_id="b", generation=2, nanos=7),))
    gateway.happened("completion/lost", CompletionReadmitted(lost_position=4, admitted=lost))
    stands = balance(gateway.view, "b", gateway.at)
    assert (stands.generation, stands.held_nanos) == (1, 104)
    gateway.settle("lost", made(model_id="gpt-4o"))
    assert balance(gateway.view, "b", gateway.at).settled_nanos == 0


def test_a_hold_on_a_budget_that_nobody_knows_is_kept(gateway: Gateway) -> None:
    lost = completion_admitted(api_key_id="k", holds=(hold(budget_id="unknown", nanos=7),))
    gateway.happened("completion/lost", CompletionReadmitted(lost_position=4, admitted=lost))
    account = gateway.view.get(ACCOUNTS, "unknown")
    assert account is not None
    assert account.held_nanos == 7


# Windows


def test_a_window_slides() -> None:
    window: Window = ()
    for second in range(1_000, 1_120):
        window = counted(window, MINUTE, second, 1)
        assert total(window, MINUTE, second) == min(second - 999, 60)
    assert len(window) == 60
    assert total(window, MINUTE, 1_149) == 30
    assert total(window, MINUTE, 1_179) == 0


def test_what_is_counted_in_one_bucket_stands_together() -> None:
    assert counted(counted((), DAY, 7_200, 2), DAY, 7_200 + 3_599, 3) == ((2, 5),)


def test_room_comes_when_enough_has_left() -> None:
    window = counted(counted((), MINUTE, 100, 5), MINUTE, 110, 5)
    at = EPOCH + 120.5 * SECOND
    assert room_after(window, MINUTE, at, 1) == 39.5 * SECOND
    assert room_after(window, MINUTE, at, 5) == 39.5 * SECOND
    assert room_after(window, MINUTE, at, 6) == 49.5 * SECOND
    assert room_after(window, MINUTE, at, 99) == 49.5 * SECOND


def test_how_a_key_stands_against_its_limits(gateway: Gateway) -> None:
    limits = RateLimits(requests_per_minute=10, requests_per_hour=3, tokens_per_minute=2_000)
    gateway.happened("api-key/k", ApiKeyRateLimitsChanged(rate_limits=limits))
    gateway.admit(output_cap=400)
    gateway.later(seconds=1)
    assert rate_standing(gateway.view, "k", gateway.at) == RateStanding(
        Standing(3, 2, timedelta(minutes=60, seconds=-1)), Standing(2_000, 1_500, 59 * SECOND)
    )
    gateway.settle("c1", made(input=100, output=100))
    tokens = rate_standing(gateway.view, "k", gateway.at).tokens
    assert tokens is not None
    assert tokens.remaining == 1_800


def test_an_untouched_limit_needs_no_reset_and_no_limit_says_nothing(gateway: Gateway) -> None:
    assert rate_standing(gateway.view, "k", gateway.at) == RateStanding(None, None)
    assert rate_standing(gateway.view, "nobody", gateway.at) == RateStanding(None, None)
    gateway.happened("api-key/k", ApiKeyRateLimitsChanged(rate_limits=RateLimits(requests_per_day=5)))
    assert rate_standing(gateway.view, "k", gateway.at) == RateStanding(Standing(5, 5, timedelta(0)), None)


def test_a_key_with_nothing_open_and_no_limits_is_not_remembered(gateway: Gateway) -> None:
    gateway.admit()
    gateway.happened("api-key/k", ApiKeyDeleted())
    assert gateway.view.get(COUNTS, "k") is not None
    gateway.settle("c1")
    assert gateway.view.get(COUNTS, "k") is None
