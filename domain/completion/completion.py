"""What is known of one completion, folded from its events."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.completion.events import CompletionAdmitted, Hold, HoldOutcome
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
    holds: tuple[Hold, ...]
    """Raises included: one per budget."""
    progress_tokens: int = 0
    outcomes: tuple[HoldOutcome, ...] = ()
    cost_nanos: int | None = None


OPEN_COMPLETIONS: Final = Kind[str, Completion]("completion")
"""Resident while open; settlement evicts it."""
