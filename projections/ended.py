"""What the end of a completion says, in the few numbers that usage and lists of completions share."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.completion.events import Attempt, CompletionCorrected, CompletionSettled, EndReason
from domain.price import ANSWER, PROMPT

FAILED: Final = frozenset({EndReason.PROVIDER_ERROR, EndReason.CUT, EndReason.TIMED_OUT, EndReason.NOT_SENT})
"""A client that went away has had its answer, as far as it wanted it."""


Ended = CompletionSettled | CompletionCorrected


class Tokens(NamedTuple):
    input: int
    output: int


def status_of(ended: Ended) -> str:
    if isinstance(ended, CompletionSettled) and ended.recovered:
        return "recovered"
    return "failed" if ended.end_reason in FAILED else "settled"


def usage_of(attempts: Sequence[Attempt]) -> dict[str, int]:
    """By category, over all attempts."""
    if len(attempts) == 1:
        return attempts[0].usage
    usage: dict[str, int] = {}
    for attempt in attempts:
        for category, quantity in attempt.usage.items():
            usage[category] = usage.get(category, 0) + quantity
    return usage


def tokens_of(usage: dict[str, int]) -> Tokens:
    return Tokens(sum([usage.get(category, 0) for category in PROMPT]), sum([usage.get(category, 0) for category in ANSWER]))
