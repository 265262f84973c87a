"""How a completion ends: each attempt priced, each hold turned into what was spent. Never refused, and once only."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from domain.admission.directory import PRICES
from domain.completion.commands import AttemptMade, RecoverCompletion, SettleCompletion
from domain.completion.completion import Completion, Status
from domain.completion.events import (
    Attempt,
    CompletionCorrected,
    CompletionSettled,
    EndReason,
    Hold,
    HoldCorrection,
    HoldOutcome,
    RouteStep,
    UsageSource,
)
from domain.errors import NotFound
from domain.price import Category, Price, bound_nanos, cost_lines, cost_nanos
from domain.state import Scene, View

RECOVERED_TOKENS_MORE: Final = 1_024
"""What a stream may have gone on for after its last report of progress."""
COSTS_NOTHING: Final = ("refused", "failed")
"""The provider answered with an error."""
SOURCES: Final[tuple[UsageSource, ...]] = ("estimated", "reported")
"""A sum is as good as its worst part."""
ERROR_CODE_MAX: Final = 200
"""Characters: a provider's word, in an event of bounded size."""
CATEGORIES: Final[Mapping[str, Category]] = {category.value: category for category in Category}


def settle(command: SettleCompletion, scene: Scene[Completion], now: datetime) -> Iterator[CompletionSettled | CompletionCorrected]:
    completion = there(scene.own, command.completion_id)
    if completion.status is Status.SETTLED:
        return
    attempts = tuple([_priced(made, completion, scene.view) for made in command.attempts])
    cost = _cost(attempts)
    spent = [_spent(hold, attempts, cost) for hold in completion.holds]
    if completion.status is Status.RECOVERED:
        yield CompletionCorrected(
            end_reason=command.end_reason,
            cost_nanos=cost,
            usage_source=_source(attempts),
            attempts=attempts,
            holds=tuple(_corrections(completion, spent)),
        )
        return
    yield CompletionSettled(
        end_reason=command.end_reason,
        cost_nanos=cost,
        usage_source=_source(attempts),
        attempts=attempts,
        holds=_outcomes(completion.holds, spent),
        overrun_nanos=max([0, *(nanos - hold.nanos for hold, nanos in zip(completion.holds, spent, strict=True))]),
        latency_ms=command.latency_ms,
        overhead_ms=command.overhead_ms,
    )


def recover(command: RecoverCompletion, scene: Scene[Completion], now: datetime) -> Iterator[CompletionSettled]:
    """For money, admitted means dispatched: a plain call is charged its whole hold, a stream what it can have come to."""
    completion = there(scene.own, command.completion_id)
    if completion.status is not Status.OPEN:
        return
    bound = _recovered_bound(completion, scene.view)
    spent = [hold.nanos if bound is None or not completion.admitted.stream else min(hold.nanos, bound) for hold in completion.holds]
    yield CompletionSettled(
        end_reason=EndReason.RECOVERED,
        cost_nanos=max(spent, default=bound),
        usage_source="estimated",
        holds=_outcomes(completion.holds, spent),
        recovered=True,
    )


def there(completion: Completion | None, completion_id: str) -> Completion:
    if completion is None:
        raise NotFound(f"There is no completion {completion_id}")
    return completion


def step_price(view: View, step: RouteStep) -> Price | None:
    """The price that held at admission, whatever holds now."""
    return None if step.price_id is None else view.get(PRICES, step.price_id)


def dearest_nanos(completion: Completion, view: View, output_tokens: int) -> int | None:
    """What a call of the dearest step costs at most, with so long an answer. None: a price is unknown."""
    prompt_tokens = completion.admitted.prompt_tokens_bound
    prices = [step_price(view, step) for step in completion.admitted.route]
    bounds = [bound_nanos(price, prompt_tokens=prompt_tokens, output_tokens=output_tokens) for price in prices if price is not None]
    return max(bounds) if bounds and len(bounds) == len(prices) else None


def _recovered_bound(completion: Completion, view: View) -> int | None:
    admitted = completion.admitted
    whole = admitted.output_cap * admitted.choices
    tokens = min(whole, completion.progress_tokens + RECOVERED_TOKENS_MORE) if admitted.stream else whole
    return dearest_nanos(completion, view, tokens)


def _priced(made: AttemptMade, completion: Completion, view: View) -> Attempt:
    usage, source = _charged(made, completion.admitted.prompt_tokens_bound)
    step = next((step for step in completion.admitted.route if step.model_id == made.model_id), None)
    price = None if step is None else step_price(view, step)
    costs_nothing = made.outcome in COSTS_NOTHING
    lines = () if price is None or costs_nothing else cost_lines(_counted(usage), price)
    return Attempt(
        model_id=made.model_id,
        provider=made.provider,
        outcome=made.outcome,
        status=made.status,
        error_code=None if made.error_code is None else made.error_code[:ERROR_CODE_MAX],
        first_byte_ms=made.first_byte_ms,
        latency_ms=made.latency_ms,
        usage=usage,
        usage_source=source,
        raw_usage=made.raw_usage,
        price_id=None if price is None else price.price_id,
        cost_nanos=None if price is None and not costs_nothing else cost_nanos(lines),
        cost_lines=lines,
    )


def _charged(made: AttemptMade, prompt_tokens_bound: int) -> tuple[dict[str, int], UsageSource]:
    """What counts as used. Sent, and nobody knows what came of it: the prompt, at its bound."""
    if made.outcome == "unknown" and not made.usage:
        return {Category.INPUT.value: prompt_tokens_bound}, "estimated"
    return made.usage, made.usage_source


def _counted(usage: Mapping[str, int]) -> dict[Category, int]:
    return {CATEGORIES[name]: quantity for name, quantity in usage.items() if name in CATEGORIES and quantity > 0}


def _cost(attempts: Sequence[Attempt]) -> int | None:
    """Rounded once over all lines."""
    if any(attempt.cost_nanos is None for attempt in attempts):
        return None
    return cost_nanos(tuple([line for attempt in attempts for line in attempt.cost_lines]))


def _spent(hold: Hold, attempts: Sequence[Attempt], cost: int | None) -> int:
    """What the hold pays for; all of it where a price can't be found any more, since money that was spent must not vanish."""
    if hold.model_ids:
        cost = _cost([attempt for attempt in attempts if attempt.model_id in hold.model_ids])
    return hold.nanos if cost is None else cost


def _source(attempts: Sequence[Attempt]) -> UsageSource:
    sources = {attempt.usage_source for attempt in attempts}
    return next((source for source in SOURCES if source in sources), "none")


def _outcomes(holds: Sequence[Hold], spent: Sequence[int]) -> tuple[HoldOutcome, ...]:
    return tuple([
        HoldOutcome(budget_id=hold.budget_id, generation=hold.generation, period_start=hold.period_start, spent_nanos=nanos)
        for hold, nanos in zip(holds, spent, strict=True)
    ])  # fmt: skip


def _corrections(completion: Completion, spent: Sequence[int]) -> Iterator[HoldCorrection]:
    for hold, before, nanos in zip(completion.holds, completion.outcomes, spent, strict=True):
        yield HoldCorrection(
            budget_id=hold.budget_id,
            generation=hold.generation,
            period_start=hold.period_start,
            spent_nanos=nanos,
            moved_nanos=nanos - before.spent_nanos,
        )
