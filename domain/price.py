"""What a call costs: a pure function of the usage that the provider reported and a price. Integers and one rounding."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

from domain.kernel import Value

TOKENS_PER_RATE = 1_000_000
"""Rates are nano-dollars per million units, so that $0.0375 per million tokens is the integer 37,500,000."""


class Category(StrEnum):
    """What is counted. Disjoint: cached input is not counted as input again."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE = "cache_write"
    INPUT_AUDIO = "input_audio"
    OUTPUT = "output"
    OUTPUT_AUDIO = "output_audio"
    REQUEST = "request"


STANDS_IN = {
    Category.CACHED_INPUT: Category.INPUT,
    Category.CACHE_WRITE: Category.INPUT,
    Category.INPUT_AUDIO: Category.INPUT,
    Category.OUTPUT_AUDIO: Category.OUTPUT,
}
"""A category without a rate of its own costs what its stand-in costs."""

PROMPT = (Category.INPUT, Category.CACHED_INPUT, Category.CACHE_WRITE, Category.INPUT_AUDIO)
ANSWER = (Category.OUTPUT, Category.OUTPUT_AUDIO)

Usage = Mapping[Category, int]


class Tier(Value):
    """From prompts longer than `above_prompt_tokens` on, this rate holds for the whole call."""

    nanos_per_million: int
    above_prompt_tokens: int = 0


class Price(Value):
    """The rates of one model from one moment on. A free model has no rates."""

    price_id: str
    source: Literal["given", "genai-prices"]
    rates: dict[Category, tuple[Tier, ...]] = {}
    effective_from: datetime | None = None


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
    """Nano-dollars per million of `category` in a call with a prompt of that length; 0 where neither it nor its stand-in has a rate."""
    tiers = price.rates.get(category) or price.rates.get(STANDS_IN.get(category, category), ())
    held = max((tier for tier in tiers if prompt_tokens >= tier.above_prompt_tokens), key=lambda tier: tier.above_prompt_tokens, default=None)
    return 0 if held is None else held.nanos_per_million


def dearest(price: Price, categories: tuple[Category, ...]) -> int:
    """The highest rate among them, at any prompt length: what a hold must assume."""
    return max((tier.nanos_per_million for category in categories for tier in price.rates.get(category, ())), default=0)


def bound_nanos(price: Price, *, prompt_tokens: int, output_tokens: int) -> int:
    """The most that a call within these bounds can cost, rounded up."""
    request = dearest(price, (Category.REQUEST,))
    exact = prompt_tokens * dearest(price, PROMPT) + output_tokens * dearest(price, ANSWER) + request
    return -(-exact // TOKENS_PER_RATE)


def in_force(prices: tuple[Price, ...], at: datetime) -> Price | None:
    """The latest-beginning price that has begun; among equals the one given last."""
    begun = [price for price in prices if price.effective_from is None or price.effective_from <= at]
    return max(reversed(begun), key=lambda price: price.effective_from.timestamp() if price.effective_from else 0.0, default=None)


def round_half_up(exact: int) -> int:
    """From rate units (nano-dollars × 10⁶) to whole nano-dollars."""
    return (2 * exact + TOKENS_PER_RATE) // (2 * TOKENS_PER_RATE)
