"""What is known of one completion, folded from its events."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from domain.completion.events import (
    CompletionAdmitted,
    CompletionCorrected,
    CompletionHoldRaised,
    CompletionProgressed,
    CompletionReadmitted,
    CompletionSettled,
    Hold,
    HoldOutcome,
)
from domain.kernel import Recorded
from domain.state import Kind


class Status(StrEnum):
    OPEN = "open"
    SETTLED = "settled"
    RECOVERED = "recovered"
    """Settled by recovery: a late settlement corrects it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    status: Status
    admitted: CompletionAdmitted
    admitted_at: datetime
    position: int
    """Of its admission."""
    holds: tuple[Hold, ...]
    """Raises included: one per budget."""
    progress_tokens: int = 0
    outcomes: tuple[HoldOutcome, ...] = ()
    cost_nanos: int | None = None


OPEN_COMPLETIONS: Final = Kind[str, Completion]("completion")
"""Resident while open; settlement evicts it."""


def evolve(completion: Completion | None, recorded: Recorded[Any]) -> Completion | None:
    """A settled completion is still a state; that it leaves the resident state is the fold's doing."""
    match recorded.event, completion:
        case CompletionAdmitted() as admitted, None:
            return _opened(admitted, recorded)
        case CompletionReadmitted(admitted=admitted), None:
            return _opened(admitted, recorded)
        case CompletionSettled() as settled, Completion(status=Status.OPEN):
            status = Status.RECOVERED if settled.recovered else Status.SETTLED
            return replace(completion, status=status, outcomes=settled.holds, cost_nanos=settled.cost_nanos)
        case CompletionCorrected() as corrected, Completion():
            return replace(completion, status=Status.SETTLED, outcomes=corrected.holds, cost_nanos=corrected.cost_nanos)
        case CompletionHoldRaised(holds=holds), Completion(status=Status.OPEN):
            return replace(completion, holds=raised(completion.holds, holds))
        case CompletionProgressed(output_tokens=tokens), Completion(status=Status.OPEN):
            return replace(completion, progress_tokens=max(tokens, completion.progress_tokens))
    return completion


def _opened(admitted: CompletionAdmitted, recorded: Recorded[Any]) -> Completion:
    return Completion(status=Status.OPEN, admitted=admitted, admitted_at=recorded.at, position=recorded.position, holds=admitted.holds)


def raised(holds: tuple[Hold, ...], additions: tuple[Hold, ...]) -> tuple[Hold, ...]:
    """One hold per account: additions to the same one become one with it."""
    total: dict[tuple[str, int, datetime], Hold] = {}
    for hold in (*holds, *additions):
        account = (hold.budget_id, hold.generation, hold.period_start)
        known = total.get(account)
        total[account] = hold if known is None else known.model_copy(update={"nanos": known.nanos + hold.nanos})
    return tuple(total.values())
