"""The rules of a budget."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.budget.events import AtLimit, Scope
from domain.state import Kind
from domain.time import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    name: str
    description: str | None
    period: Period
    time_zone: str
    hard_limit_nanos: int
    soft_limit_nanos: int | None
    scope: Scope
    at_limit: AtLimit
    starting_spend_nanos: int
    alert_thresholds: tuple[int, ...]
    generation: int
    generation_began_at: datetime
    """When it was opened or last reset."""
    enabled: bool
    closed: bool
    created_at: datetime
    updated_at: datetime
    readable: bool = True


BUDGETS: Final = Kind[str, Budget]("budget")
