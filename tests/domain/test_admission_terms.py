"""Near a limit the answer is as long as the money allows, to the token."""

from hypothesis import given
from hypothesis import strategies as st

from domain.price import Category, Price, Tier, bound_nanos, output_tokens_for

RATE = st.integers(0, 10**13)


@given(prompt=RATE, answer=RATE, request=RATE, nanos=st.integers(0, 10**12), prompt_tokens=st.integers(0, 10**6))
def test_what_money_buys_is_the_longest_answer_whose_bound_it_covers(
    prompt: int, answer: int, request: int, nanos: int, prompt_tokens: int
) -> None:
    rates = {Category.INPUT: prompt, Category.OUTPUT: answer, Category.REQUEST: request}
    price = Price(price_id="p", source="given", rates={category: (Tier(nanos_per_million=rate),) for category, rate in rates.items()})
    tokens = output_tokens_for(price, nanos, prompt_tokens=prompt_tokens)
    if tokens is None:
        assert answer == 0
        return
    assert tokens == 0 or bound_nanos(price, prompt_tokens=prompt_tokens, output_tokens=tokens) <= nanos
    assert bound_nanos(price, prompt_tokens=prompt_tokens, output_tokens=tokens + 1) > nanos
