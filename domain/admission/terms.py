"""The terms of an admission: how long the answer may be, and what is held for it."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.admission.case import Case, Step
from domain.budget.events import AtLimit
from domain.model.model import Model
from domain.price import bound_nanos, output_tokens_for

CLAMP_DIVISOR: Final = 8
"""A hold takes at most an eighth of what is free, so that a budget's last money is shared."""
CLAMP_TOKENS_MIN: Final = 256
"""An answer shorter than that serves nobody: rather refuse."""


class Terms(NamedTuple):
    output_cap: int
    """Tokens for one choice."""
    prompt_tokens_bound: int
    hold_nanos: int | None
    """None: the price is unknown."""
    rate_weight_tokens: int


def terms_of(case: Case) -> Terms:
    command = case.command
    output_cap = _cap(case) if command.output_cap is None else command.output_cap
    output_tokens = output_cap * command.choices
    prompt_tokens_bound = max([step.prompt_tokens_bound for step in case.steps])
    limited = case.key.rate_limits.tokens_per_minute is not None
    weight = prompt_tokens_bound + output_tokens if limited else 0
    return Terms(output_cap, prompt_tokens_bound, _dearest_nanos(case.steps, output_tokens), weight)


def _dearest_nanos(steps: Sequence[Step], output_tokens: int) -> int | None:
    dearest = 0
    for step in steps:
        if step.price is None:
            return None
        dearest = max(dearest, bound_nanos(step.price, prompt_tokens=step.prompt_tokens_bound, output_tokens=output_tokens))
    return dearest


def _cap(case: Case) -> int:
    """The models' maximum, or what the budgets that clamp afford of it."""
    most = min([_most(step.model) for step in case.steps])
    free = [applying.balance.free_nanos for applying in case.budgets if applying.budget.at_limit is AtLimit.CLAMP]
    if not free:
        return most
    affordable = min([_affordable(step, min(free) // CLAMP_DIVISOR, case.command.choices, most) for step in case.steps])
    return max(min(most, affordable), min(most, CLAMP_TOKENS_MIN))


def _most(model: Model) -> int:
    by_default = model.content.config.max_tokens
    return model.content.max_output_tokens if by_default is None else min(by_default, model.content.max_output_tokens)


def _affordable(step: Step, nanos: int, choices: int, most: int) -> int:
    tokens = None if step.price is None else output_tokens_for(step.price, nanos, prompt_tokens=step.prompt_tokens_bound)
    return most if tokens is None else tokens // choices
