"""How much a model thinks, as each generation of Anthropic's models takes it."""

import re
from collections.abc import Mapping
from typing import Any, Final

from adapters.providers.unsupported import Unsupported
from domain.errors import Invalid

Version = tuple[int, int]

NAMED: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
NEWEST: Final = (99, 0)
"""A model whose name has no version we know is taken for a new one."""

THINKS_FROM: Final = (3, 7)
ADAPTS_FROM: Final = (4, 6)
"""From here on it is told an effort; before, a budget of tokens."""
DOES_NOT_SAMPLE_FROM: Final = (4, 7)
"""From here on temperature, top_p and top_k are refused."""
THINKS_UNASKED_FROM: Final = (5, 0)

EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
BUDGET_PERCENTS: Final = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 90, "max": 95}
"""Of the output cap, which thinking counts against."""
BUDGET_TOKENS_MIN: Final = 1024
BUDGET_TOKENS_MAX: Final = 32_000
"""Longer thinking is for batches."""


def version_of(provider_model: str) -> Version:
    named = NAMED.search(provider_model)
    return NEWEST if named is None else (int(named[1]), int(named[2] or 0))


def samples(version: Version) -> bool:
    """An unknown model is the provider's to judge."""
    return version < DOES_NOT_SAMPLE_FROM or version == NEWEST


def reasoning_of(said: Mapping[str, Any], output_cap: int, version: Version, unsupported: Unsupported) -> dict[str, Any]:
    effort = said.get("reasoning_effort")
    if effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}} if version >= THINKS_UNASKED_FROM else {}
    if not isinstance(effort, str) or effort not in EFFORTS:
        raise Invalid(f"'reasoning_effort' must be one of none, {', '.join(EFFORTS)}.", param="reasoning_effort")
    if version >= ADAPTS_FROM:
        return {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": EFFORTS[effort]}}
    if version < THINKS_FROM:
        unsupported.refuse("reasoning_effort")
        return {}
    if output_cap <= BUDGET_TOKENS_MIN:
        unsupported.refuse("reasoning_effort", f"needs more than {BUDGET_TOKENS_MIN} tokens of output with this model's provider")
        return {}
    budget_tokens = max(BUDGET_TOKENS_MIN, min(output_cap * BUDGET_PERCENTS[effort] // 100, BUDGET_TOKENS_MAX))
    return {"thinking": {"type": "enabled", "budget_tokens": budget_tokens}}
