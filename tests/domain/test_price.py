"""What a call costs, and what it can cost at most."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.price import (
    ANSWER,
    PROMPT,
    STANDS_IN,
    TOKENS_PER_RATE,
    Category,
    Price,
    Tier,
    bound_nanos,
    cost_lines,
    cost_nanos,
    in_force,
    output_tokens_for,
    rate,
    round_half_up,
)
from tests.examples import TODAY, price

quantities = st.integers(0, 5_000)
dear = st.integers(0, 2 * TOKENS_PER_RATE)
"""Around one nano-dollar for each token, where rounding shows."""


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    starts = draw(st.sets(st.integers(1, 10_000), max_size=3))
    return tuple(Tier(nanos_per_million=draw(dear), above_prompt_tokens=start) for start in (0, *sorted(starts)))


prices = st.dictionaries(st.sampled_from(Category), tiers()).map(lambda rates: price(rates=rates))
usages = st.dictionaries(st.sampled_from([*PROMPT, *ANSWER]), quantities)


def cost(usage: dict[Category, int], of: Price) -> int:
    return cost_nanos(cost_lines(usage, of))


@given(prices, usages, st.integers(0, 500), st.integers(0, 500))
def test_no_call_within_its_bounds_costs_more_than_its_bound(of: Price, usage: dict[Category, int], more: int, longer: int) -> None:
    prompt_tokens = sum(usage.get(category, 0) for category in PROMPT)
    output_tokens = sum(usage.get(category, 0) for category in ANSWER)
    assert cost(usage, of) <= bound_nanos(of, prompt_tokens=prompt_tokens + more, output_tokens=output_tokens + longer)


@given(prices, usages)
def test_the_cost_is_the_exact_sum_rounded_half_up_once(of: Price, usage: dict[Category, int]) -> None:
    exact = sum(line.quantity * line.nanos_per_million for line in cost_lines(usage, of))
    assert 2 * abs(cost(usage, of) * TOKENS_PER_RATE - exact) <= TOKENS_PER_RATE
    assert round_half_up(exact) <= -(-exact // TOKENS_PER_RATE)


@given(prices, usages)
def test_lines_say_what_was_counted(of: Price, usage: dict[Category, int]) -> None:
    counted = {line.category: line.quantity for line in cost_lines(usage, of)}
    assert counted.pop(Category.REQUEST, None) == (1 if Category.REQUEST in of.rates else None)
    assert counted == {category: quantity for category, quantity in usage.items() if quantity}


@given(prices, st.integers(0, 20_000), quantities)
def test_output_that_is_paid_for_fits_and_one_token_more_does_not(of: Price, nanos: int, prompt_tokens: int) -> None:
    tokens = output_tokens_for(of, nanos, prompt_tokens=prompt_tokens)
    if tokens is None:
        assert of.dearest.answer == 0
        return
    if tokens:
        assert bound_nanos(of, prompt_tokens=prompt_tokens, output_tokens=tokens) <= nanos
    assert bound_nanos(of, prompt_tokens=prompt_tokens, output_tokens=tokens + 1) > nanos


@given(prices, st.sampled_from(Category), quantities)
def test_what_has_no_rate_costs_what_its_stand_in_costs(of: Price, category: Category, prompt_tokens: int) -> None:
    stand_in = STANDS_IN.get(category)
    if category in of.rates:
        assert rate(of, category, prompt_tokens) in [tier.nanos_per_million for tier in of.rates[category]]
    elif stand_in is None:
        assert rate(of, category, prompt_tokens) == 0
    else:
        assert rate(of, category, prompt_tokens) == rate(of, stand_in, prompt_tokens)


def test_a_bound_assumes_the_stand_ins() -> None:
    only = price(
        rates={Category.INPUT: (Tier(nanos_per_million=TOKENS_PER_RATE),), Category.OUTPUT: (Tier(nanos_per_million=TOKENS_PER_RATE),)}
    )
    assert bound_nanos(only, prompt_tokens=10, output_tokens=5) == 15
    assert cost({Category.CACHED_INPUT: 4, Category.CACHE_WRITE: 3, Category.INPUT_AUDIO: 3, Category.OUTPUT_AUDIO: 5}, only) == 15


def test_a_bound_assumes_the_dearest_tier_and_category() -> None:
    rates = {
        Category.INPUT: (Tier(nanos_per_million=1_000_000), Tier(nanos_per_million=3_000_000, above_prompt_tokens=200_001)),
        Category.CACHE_WRITE: (Tier(nanos_per_million=4_000_000),),
        Category.OUTPUT: (Tier(nanos_per_million=10_000_000),),
    }
    assert bound_nanos(price(rates=rates), prompt_tokens=100, output_tokens=10) == 500


def test_a_tier_holds_for_the_whole_call() -> None:
    rates = {
        Category.INPUT: (Tier(nanos_per_million=1_000_000), Tier(nanos_per_million=2_000_000, above_prompt_tokens=101)),
        Category.OUTPUT: (Tier(nanos_per_million=5_000_000), Tier(nanos_per_million=7_000_000, above_prompt_tokens=101)),
    }
    assert cost({Category.INPUT: 100, Category.OUTPUT: 10}, price(rates=rates)) == 150
    assert cost({Category.INPUT: 1, Category.CACHED_INPUT: 100, Category.OUTPUT: 10}, price(rates=rates)) == 272


def test_a_call_has_its_own_price_where_one_is_charged() -> None:
    flat = price(rates={Category.REQUEST: (Tier(nanos_per_million=5_000 * TOKENS_PER_RATE),)})
    assert cost({}, flat) == bound_nanos(flat, prompt_tokens=0, output_tokens=0) == 5_000


def test_what_is_free_costs_nothing() -> None:
    free = price(rates={})
    assert cost({Category.INPUT: 1_000, Category.OUTPUT: 1_000}, free) == bound_nanos(free, prompt_tokens=1_000, output_tokens=1_000) == 0


def test_half_a_nano_dollar_goes_up() -> None:
    assert [round_half_up(exact) for exact in (0, 499_999, 500_000, 1_499_999, 1_500_000)] == [0, 0, 1, 1, 2]


def test_the_latest_price_that_has_begun_holds() -> None:
    always, first, second, third = (
        price(price_id=name, effective_from=begins)
        for name, begins in (("always", None), ("first", TODAY), ("second", TODAY), ("third", TODAY + timedelta(days=1)))
    )
    given_so_far = (third, always, first, second)
    expected = {TODAY - timedelta(seconds=1): "always", TODAY: "second", TODAY + timedelta(days=1): "third"}
    for at, name in expected.items():
        held = in_force(given_so_far, at)
        assert held is not None
        assert held.price_id == name
    assert in_force((first,), TODAY - timedelta(microseconds=1)) is None
    assert in_force((), TODAY) is None
