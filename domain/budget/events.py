"""What can happen to a budget. Stored: add fields with defaults, never rename or remove."""

from enum import StrEnum
from typing import ClassVar

from domain.kernel import Event, Value
from domain.time import Period


class AtLimit(StrEnum):
    """Near the limit, may the gateway shorten answers (`clamp`), or is a request admitted at its full length or not at all (`reject`)?"""

    CLAMP = "clamp"
    REJECT = "reject"


class Scope(Value):
    """Whom a budget binds: nobody named, everyone; keys and teams named, any of them. Models named narrow it further."""

    api_key_ids: frozenset[str] = frozenset()
    team_ids: frozenset[str] = frozenset()
    model_ids: frozenset[str] = frozenset()


class BudgetOpened(Event):
    topic: ClassVar[str] = "budget.opened.v1"

    name: str
    period: Period
    hard_limit_nanos: int
    generation: int = 1
    """Counts from 1 through resets and re-openings of the same id."""
    description: str | None = None
    soft_limit_nanos: int | None = None
    scope: Scope = Scope()
    at_limit: AtLimit = AtLimit.CLAMP
    time_zone: str = "UTC"
    starting_spend_nanos: int = 0
    alert_thresholds: tuple[int, ...] = ()
    """Percent of the hard limit, ascending."""


class BudgetDescribed(Event):
    topic: ClassVar[str] = "budget.described.v1"

    name: str
    description: str | None = None


class BudgetLimitChanged(Event):
    topic: ClassVar[str] = "budget.limit_changed.v1"

    hard_limit_nanos: int
    soft_limit_nanos: int | None = None


class BudgetScopeChanged(Event):
    topic: ClassVar[str] = "budget.scope_changed.v1"

    scope: Scope


class BudgetAlertsChanged(Event):
    topic: ClassVar[str] = "budget.alerts_changed.v1"

    alert_thresholds: tuple[int, ...]


class BudgetAtLimitChanged(Event):
    topic: ClassVar[str] = "budget.at_limit_changed.v1"

    at_limit: AtLimit


class BudgetDisabled(Event):
    topic: ClassVar[str] = "budget.disabled.v1"


class BudgetEnabled(Event):
    topic: ClassVar[str] = "budget.enabled.v1"


class BudgetReset(Event):
    topic: ClassVar[str] = "budget.reset.v1"

    generation: int


class BudgetClosed(Event):
    topic: ClassVar[str] = "budget.closed.v1"
