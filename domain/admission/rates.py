"""The ledger's counts: per key what is open now, and what was asked lately where the key has a limit on that."""

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from domain.admission.window import DAY, HOUR, MINUTE, Span, Window, corrected, counted, room_after, total
from domain.api_key.api_key import API_KEYS
from domain.completion.events import CompletionAdmitted, CompletionSettled
from domain.price import Category
from domain.state import Kind, View
from domain.time import unix_seconds

RequestLimit = Literal["requests_per_minute", "requests_per_hour", "requests_per_day"]


class Counts(NamedTuple):
    """What a key has open, and its windows. A window is filled while the key has that limit."""

    open: int = 0
    requests_per_minute: Window = ()
    requests_per_hour: Window = ()
    requests_per_day: Window = ()
    tokens_per_minute: Window = ()


NOTHING: Final = Counts()
COUNTS: Final = Kind[str, Counts]("counts")

REQUEST_LIMITS: Final[tuple[tuple[RequestLimit, Span, str], ...]] = (
    ("requests_per_minute", MINUTE, "requests per minute"),
    ("requests_per_hour", HOUR, "requests per hour"),
    ("requests_per_day", DAY, "requests per day"),
)


class Standing(NamedTuple):
    """How a key stands against one limit."""

    limit: int
    remaining: int
    reset: timedelta
    """Until nothing counts any more."""


class RateStanding(NamedTuple):
    """What the `x-ratelimit-*` headers say; None where the key has no such limit."""

    requests: Standing | None
    """Of the limits on requests, the one of which the least is left."""
    tokens: Standing | None


def rate_standing(view: View, api_key_id: str, now: datetime) -> RateStanding:
    key, counts = view.get(API_KEYS, api_key_id), view.get(COUNTS, api_key_id) or NOTHING
    if key is None:
        return RateStanding(None, None)
    limits = key.rate_limits
    requests = (_standing(getattr(limits, name), getattr(counts, name), span, now) for name, span, _ in REQUEST_LIMITS)
    tightest = min(filter(None, requests), key=lambda standing: standing.remaining, default=None)
    return RateStanding(tightest, _standing(limits.tokens_per_minute, counts.tokens_per_minute, MINUTE, now))


def count_admission(view: View, admitted: CompletionAdmitted, at: datetime) -> None:
    key, counts = view.get(API_KEYS, admitted.api_key_id), view.get(COUNTS, admitted.api_key_id) or NOTHING
    opened, minute, hour, day, tokens = counts
    second = unix_seconds(at)
    if key is not None:
        limits, weight = key.rate_limits, admitted.rate_weight_requests
        if limits.requests_per_minute is not None:
            minute = counted(minute, MINUTE, second, weight)
        if limits.requests_per_hour is not None:
            hour = counted(hour, HOUR, second, weight)
        if limits.requests_per_day is not None:
            day = counted(day, DAY, second, weight)
    if admitted.rate_weight_tokens:
        tokens = counted(tokens, MINUTE, second, admitted.rate_weight_tokens)
    view.put(COUNTS, admitted.api_key_id, Counts(opened + 1, minute, hour, day, tokens))


def count_settlement(view: View, admitted: CompletionAdmitted, admitted_at: datetime, settled: CompletionSettled) -> None:
    """One open completion less; its tokens are what was used. Recovery doesn't know: they stay as they were admitted."""
    counts = view.get(COUNTS, admitted.api_key_id) or NOTHING
    opened, minute, hour, day, tokens = counts
    if admitted.rate_weight_tokens and not settled.recovered:
        tokens = corrected(tokens, MINUTE, unix_seconds(admitted_at), tokens_used(settled) - admitted.rate_weight_tokens)
    counts = Counts(max(0, opened - 1), minute, hour, day, tokens)
    view.put(COUNTS, admitted.api_key_id, counts if any(counts) else None)


def tokens_used(settled: CompletionSettled) -> int:
    used = (quantity for attempt in settled.attempts for category, quantity in attempt.usage.items() if category != Category.REQUEST)
    return sum(used)


def _standing(limit: int | None, window: Window, span: Span, now: datetime) -> Standing | None:
    if limit is None:
        return None
    counting = total(window, span, unix_seconds(now))
    reset = room_after(window, span, now, counting) if counting else timedelta(0)
    return Standing(limit, max(0, limit - counting), reset)
