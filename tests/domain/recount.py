"""Money, rates and open completions counted again from the first event on: slowly, and with no code of the ledger's."""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import Any, NamedTuple

from domain.budget.budget import Budget
from domain.budget.budget import evolve as evolve_budget
from domain.budget.events import BudgetOpened
from domain.completion.events import CompletionAdmitted, CompletionCorrected, CompletionHoldRaised, CompletionSettled
from domain.kernel import Recorded
from domain.price import Category, Price
from domain.time import period_start

Events = Sequence[Recorded[Any]]


class Where(NamedTuple):
    """An account."""

    budget_id: str
    generation: int
    period_start: datetime


class Money(NamedTuple):
    settled: dict[Where, int]
    held: dict[Where, int]

    def taken(self, place: Where) -> int:
        return self.settled.get(place, 0) + self.held.get(place, 0)


def where(place: Any) -> Where:
    return Where(place.budget_id, place.generation, place.period_start)


def money_of(events: Events) -> Money:
    settled: dict[Where, int] = {}
    holds: dict[str, list[Any]] = {}
    for each in events:
        match each.event:
            case BudgetOpened() as opened:
                first = Where(each.id, opened.generation, period_start(opened.period, opened.time_zone, each.at))
                settled[first] = settled.get(first, 0) + opened.starting_spend_nanos
            case CompletionAdmitted(holds=placed) | CompletionHoldRaised(holds=placed):
                holds.setdefault(each.stream, []).extend(placed)
            case CompletionSettled(holds=outcomes):
                del holds[each.stream]
                for outcome in outcomes:
                    settled[where(outcome)] = settled.get(where(outcome), 0) + outcome.spent_nanos
            case CompletionCorrected(holds=corrections):
                for correction in corrections:
                    settled[where(correction)] = settled.get(where(correction), 0) + correction.moved_nanos
    held: dict[Where, int] = {}
    for hold in (hold for placed in holds.values() for hold in placed):
        held[where(hold)] = held.get(where(hold), 0) + hold.nanos
    return Money(settled, {place: nanos for place, nanos in held.items() if nanos})


def budget_of(events: Events, budget_id: str) -> Budget | None:
    return reduce(evolve_budget, [each for each in events if each.stream == f"main/budget/{budget_id}"], None)


def current(budget_id: str, budget: Budget, at: datetime) -> Where:
    return Where(budget_id, budget.generation, period_start(budget.period, budget.time_zone, at))


def binds(budget: Budget, *, api_key_id: str, team_id: str, models: set[str]) -> bool:
    scope = budget.scope
    everyone = not scope.api_key_ids and not scope.team_ids
    named = everyone or api_key_id in scope.api_key_ids or team_id in scope.team_ids
    return named and budget.enabled and not budget.closed and (not scope.model_ids or bool(scope.model_ids & models))


def bound(price: Price, prompt_tokens: int, output_tokens: int) -> int:
    """In whole nano-dollars, rounded up, at the highest rates."""

    def highest(*categories: Category) -> int:
        return max([0, *(tier.nanos_per_million for category in categories for tier in price.rates.get(category, ()))])

    prompt = highest(Category.INPUT, Category.CACHED_INPUT, Category.CACHE_WRITE, Category.INPUT_AUDIO)
    exact = prompt_tokens * prompt + output_tokens * highest(Category.OUTPUT, Category.OUTPUT_AUDIO) + highest(Category.REQUEST)
    return (exact + 999_999) // 1_000_000


def endings(events: Events, completion_id: str) -> list[CompletionSettled | CompletionCorrected]:
    own = [each.event for each in events if each.stream == f"main/completion/{completion_id}"]
    return [event for event in own if isinstance(event, CompletionSettled | CompletionCorrected)]


def admissions(events: Events, api_key_id: str) -> list[Recorded[CompletionAdmitted]]:
    return [each for each in events if isinstance(each.event, CompletionAdmitted) and each.event.api_key_id == api_key_id]


def open_of(events: Events, api_key_id: str) -> int:
    return sum(not endings(events, each.id) for each in admissions(events, api_key_id))


def requests(events: Events, api_key_id: str, limit: str, at: datetime, *, bucket_s: int, buckets: int) -> int:
    """Admissions in the window that were made while the key had this limit."""
    count, limited, first = 0, False, int(at.timestamp()) // bucket_s - buckets + 1
    for each in events:
        if each.stream == f"main/api-key/{api_key_id}" and (limits := getattr(each.event, "rate_limits", None)):
            limited = getattr(limits, limit) is not None
        if limited and isinstance(each.event, CompletionAdmitted) and each.event.api_key_id == api_key_id:
            count += int(each.at.timestamp()) // bucket_s >= first
    return count


def tokens(events: Events, api_key_id: str, at: datetime) -> int:
    """In the last minute: as admitted, or as used once that is known."""
    count = 0
    for each in admissions(events, api_key_id):
        weight = each.event.rate_weight_tokens
        if weight and int(each.at.timestamp()) > int(at.timestamp()) - 60:
            ended = endings(events, each.id)[:1]
            known = ended and isinstance(ended[0], CompletionSettled) and not ended[0].recovered
            used = sum(n for end in ended for attempt in end.attempts for name, n in attempt.usage.items() if name != "request")
            count += used if known else weight
    return count
