"""The rules that an admission must meet, in the order in which they are looked at. Each is silent or refuses."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from domain.admission.case import Case
from domain.admission.ledger import Balance
from domain.admission.rates import COUNTS, REQUEST_LIMITS, Counts
from domain.admission.terms import Terms
from domain.admission.window import MINUTE, room_after, total
from domain.api_key.api_key import API_KEYS
from domain.api_key.events import RateLimits
from domain.errors import BudgetExceeded, Invalid, RateLimited
from domain.money import usd_text
from domain.state import View
from domain.time import unix_seconds

REFUSED_AT_ONCE_FOR: Final = timedelta(milliseconds=100)
PARALLEL_RETRY_AFTER: Final = timedelta(seconds=1)
"""Nobody knows when an answer ends."""


def price_is_known(case: Case, terms: Terms) -> None:
    if terms.hold_nanos is None and case.budgets:
        budget = case.budgets[0].budget_id
        message = f"The price of the model `{case.command.model_id}` is unknown, and the budget {budget} applies to this request."
        raise Invalid(message, param="model", code="price_unknown")


def requests_are_left(case: Case, terms: Terms) -> None:
    for refusal in full_windows(case.key.rate_limits, case.counts, case.now):
        raise refusal


def refuse_at_once(view: View, api_key_id: str, now: datetime) -> None:
    """Outside of any batch: what every batch within REFUSED_AT_ONCE_FOR would refuse, whatever it knows that we don't know yet.

    `now` is not before what the next batch is dated.
    """
    key, counts = view.get(API_KEYS, api_key_id), view.get(COUNTS, api_key_id)
    if key is not None and counts is not None:
        for refusal in full_windows(key.rate_limits, counts, now):
            if refusal.retry_after >= REFUSED_AT_ONCE_FOR:
                raise refusal


def full_windows(limits: RateLimits, counts: Counts, now: datetime) -> Iterator[RateLimited]:
    """A refusal for each."""
    for name, span, words in REQUEST_LIMITS:
        limit: int | None = getattr(limits, name)
        if limit is None:
            continue
        window = getattr(counts, name)
        excess = total(window, span, unix_seconds(now)) + 1 - limit
        if excess > 0:
            message = f"This API key has reached its limit of {limit} {words}."
            yield RateLimited(message, limit=name, retry_after=room_after(window, span, now, excess))


def a_place_is_free(case: Case, terms: Terms) -> None:
    limit = case.key.rate_limits.parallel_requests
    if limit is not None and case.counts.open >= limit:
        message = f"This API key has reached its limit of {limit} parallel requests."
        raise RateLimited(message, limit="parallel_requests", retry_after=PARALLEL_RETRY_AFTER)


def tokens_are_left(case: Case, terms: Terms) -> None:
    limit = case.key.rate_limits.tokens_per_minute
    if limit is None:
        return
    window = case.counts.tokens_per_minute
    excess = total(window, MINUTE, unix_seconds(case.now)) + terms.rate_weight_tokens - limit
    if excess > 0:
        message = f"This request may use {terms.rate_weight_tokens} tokens, and this API key has a limit of {limit} tokens per minute."
        raise RateLimited(message, limit="tokens_per_minute", retry_after=room_after(window, MINUTE, case.now, excess))


def budgets_have_enough(case: Case, terms: Terms) -> None:
    if terms.hold_nanos is not None:
        for applying in case.budgets:
            enough(applying.budget_id, applying.balance, terms.hold_nanos)


def enough(budget_id: str, balance: Balance, nanos: int) -> None:
    if not balance.fits(nanos):
        needed, free = usd_text(nanos), usd_text(balance.free_nanos)
        message = f"The budget {budget_id} does not have enough left: this request may cost ${needed}, and ${free} is free."
        raise BudgetExceeded(message, budget_id=budget_id)


Rule = Callable[[Case, Terms], None]

RULES: Final[tuple[Rule, ...]] = (
    price_is_known,
    requests_are_left,
    a_place_is_free,
    tokens_are_left,
    budgets_have_enough,
)
