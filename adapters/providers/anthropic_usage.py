"""What a message used: Anthropic's report in the ledger's categories, and in the words of OpenAI's clients."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.providers.openai_usage import TOKENS_MAX
from domain.price import Category

PLAIN: Final = {
    "input_tokens": Category.INPUT,
    "cache_read_input_tokens": Category.CACHED_INPUT,
    "output_tokens": Category.OUTPUT,
}
"""Disjoint already: `input_tokens` leaves out what was read from the cache or written to it."""
REQUIRED: Final = ("input_tokens", "output_tokens")
TIERS: Final = {"standard": "default", "priority": "priority"}


def categories(report: Any) -> dict[str, int] | None:
    """None where the report can't be understood."""
    if not isinstance(report, dict) or any(_count(report, name) is None for name in REQUIRED):
        return None
    used: dict[str, int] = {category: _count(report, name) or 0 for name, category in PLAIN.items()}
    for_an_hour, written = _written(report)
    used |= {Category.CACHE_WRITE: written - for_an_hour, Category.CACHE_WRITE_1H: for_an_hour}
    return {category: quantity for category, quantity in used.items() if quantity}


def merged(report: Mapping[str, Any], later: Any) -> dict[str, Any]:
    """A stream reports twice, and the second time cumulatively, but only what it has to say."""
    return {**report, **{name: value for name, value in later.items() if value is not None}} if isinstance(later, dict) else dict(report)


def in_openai_words(report: Mapping[str, Any]) -> dict[str, Any]:
    """There, the prompt's tokens include the cached ones. What was written to the cache, OpenAI has no word for; OpenRouter has."""
    _, written = _written(report)
    read = _count(report, "cache_read_input_tokens") or 0
    prompt_tokens = (_count(report, "input_tokens") or 0) + read + written
    completion_tokens = _count(report, "output_tokens") or 0
    details = report.get("output_tokens_details")
    thinking_tokens = _count(details, "thinking_tokens") if isinstance(details, dict) else None
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        **({} if thinking_tokens is None else {"completion_tokens_details": {"reasoning_tokens": thinking_tokens}}),
    }


def service_tier(report: Any) -> dict[str, str]:
    tier = report.get("service_tier") if isinstance(report, dict) else None
    return {"service_tier": TIERS[tier]} if isinstance(tier, str) and tier in TIERS else {}


def _written(report: Mapping[str, Any]) -> tuple[int, int]:
    """To the cache: for an hour, and in all. What isn't said to be for an hour is for five minutes."""
    by_life = report.get("cache_creation")
    lives = by_life if isinstance(by_life, dict) else {}
    for_an_hour = _count(lives, "ephemeral_1h_input_tokens") or 0
    for_minutes = _count(lives, "ephemeral_5m_input_tokens") or 0
    total = _count(report, "cache_creation_input_tokens")
    written = for_an_hour + for_minutes if total is None else total
    return min(for_an_hour, written), written


def _count(report: Mapping[str, Any], name: str) -> int | None:
    value = report.get(name)
    return value if type(value) is int and 0 <= value <= TOKENS_MAX else None
