"""What a call costs: a pure function of the usage that the provider reported and a price. Integers and one rounding."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Literal, NamedTuple

from domain.kernel import Value
from domain.time import EPOCH

TOKENS_PER_RATE = 1_000_000
"""Rates are nano-dollars per million units, so that $0.0375 per million tokens is the integer 37,500,000."""


class Category(StrEnum):
    """What is counted. Disjoint: cached input is not counted as input again."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_1H = "cache_write_1h"
    INPUT_AUDIO = "input_audio"
    OUTPUT = "output"
    OUTPUT_AUDIO = "output_audio"
    REQUEST = "request"


STANDS_IN = {
    Category.CACHED_INPUT: Category.INPUT,
    Category.CACHE_WRITE: Category.INPUT,
    Category.CACHE_WRITE_1H: Category.CACHE_WRITE,
    Category.INPUT_AUDIO: Category.INPUT,
    Category.OUTPUT_AUDIO: Category.OUTPUT,
}
"""A category without a rate of its own costs what its stand-in costs, which may have one in its turn."""

PROMPT = (Category.INPUT, Category.CACHED_INPUT, Category.CACHE_WRITE, Category.CACHE_WRITE_1H, Category.INPUT_AUDIO)
ANSWER = (Category.OUTPUT, Category.OUTPUT_AUDIO)

Usage = Mapping[Category, int]


class Tier(Value):
    """In calls whose prompt has `above_prompt_tokens` tokens or more, this rate holds for the whole call."""

    nanos_per_million: int
    above_prompt_tokens: int = 0


Rates = dict[Category, tuple[Tier, ...]]


class Price(Value):
    """The rates of one model from one moment on. A free model has no rates."""

    price_id: str
    source: Literal["given", "genai-prices"]
    rates: Rates = {}
    effective_from: datetime | None = None

    @cached_property
    def dearest(self) -> "Dearest":
        """Asked at every admission, so it is worked out once. (`model_copy` would copy it: other rates are another Price.)"""
        return Dearest(*(_dearest(self.rates, categories) for categories in (PROMPT, ANSWER, (Category.REQUEST,))))


class Dearest(NamedTuple):
    """The highest rates, at any prompt length: what a hold must assume."""

    prompt: int
    answer: int
    request: int


class CostLine(Value):
    """One category's share. Lines are exact as quantity × rate; only their sum is rounded."""

    category: Category
    quantity: int
    nanos_per_million: int


def cost_lines(usage: Usage, price: Price) -> tuple[CostLine, ...]:
    prompt_tokens = sum(usage.get(category, 0) for category in PROMPT)
    counted = {category: quantity for category, quantity in usage.items() if quantity}
    if Category.REQUEST in price.rates:
        counted.setdefault(Category.REQUEST, 1)
    return tuple(
        CostLine(category=category, quantity=quantity, nanos_per_million=rate(price, category, prompt_tokens))
        for category, quantity in counted.items()
    )


def cost_nanos(lines: tuple[CostLine, ...]) -> int:
    """The exact sum, rounded half up once."""
    return round_half_up(sum(line.quantity * line.nanos_per_million for line in lines))


def rate(price: Price, category: Category, prompt_tokens: int) -> int:
    """Nano-dollars per million of `category` in a call with a prompt of that length; 0 where neither it nor its stand-ins have a rate."""
    while not price.rates.get(category) and category in STANDS_IN:
        category = STANDS_IN[category]
    tiers = price.rates.get(category, ())
    reached = [tier for tier in tiers if prompt_tokens >= tier.above_prompt_tokens]
    return max(reached, key=lambda tier: tier.above_prompt_tokens).nanos_per_million if reached else 0


def bound_nanos(price: Price, *, prompt_tokens: int, output_tokens: int) -> int:
    """The most that a call within these bounds can cost, rounded up."""
    prompt, answer, request = price.dearest
    return -(-(prompt_tokens * prompt + output_tokens * answer + request) // TOKENS_PER_RATE)


def output_tokens_for(price: Price, nanos: int, *, prompt_tokens: int) -> int | None:
    """How many output tokens `nanos` pays for beside the prompt: the most for which `bound_nanos` stays within. None: they cost nothing."""
    prompt, answer, request = price.dearest
    if not answer:
        return None
    return max(0, (nanos * TOKENS_PER_RATE - prompt_tokens * prompt - request) // answer)


def in_force(prices: tuple[Price, ...], at: datetime) -> Price | None:
    """The latest-beginning price that has begun; among equals the one given last."""
    begun = [price for price in prices if price.effective_from is None or price.effective_from <= at]
    return max(reversed(begun), key=lambda price: price.effective_from or EPOCH, default=None)


def _dearest(rates: Rates, categories: tuple[Category, ...]) -> int:
    return max((tier.nanos_per_million for category in categories for tier in rates.get(category, ())), default=0)


def round_half_up(exact: int) -> int:
    """From rate units (nano-dollars × 10⁶) to whole nano-dollars."""
    return (2 * exact + TOKENS_PER_RATE) // (2 * TOKENS_PER_RATE)
