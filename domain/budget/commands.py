"""What can be asked of a budget."""

from domain.budget.events import AtLimit
from domain.ids import BudgetId
from domain.kernel import Command
from domain.text import Description, Name, Reference

References = frozenset[Reference]


class OpenBudget(Command):
    budget_id: BudgetId
    name: Name
    period: str
    hard_limit_nanos: int
    soft_limit_nanos: int | None = None
    description: Description | None = None
    api_key_ids: References = frozenset()
    team_ids: References = frozenset()
    model_ids: References = frozenset()
    alert_thresholds: tuple[int, ...] = ()
    """Percent of the hard limit."""
    at_limit: AtLimit = AtLimit.CLAMP
    time_zone: str = "UTC"
    starting_spend_nanos: int = 0
    enabled: bool = True


class ChangeBudget(Command):
    """What is None stays as it is, but for a soft limit that is said to be None: it is cleared."""

    budget_id: BudgetId
    name: Name | None = None
    description: Description | None = None
    hard_limit_nanos: int | None = None
    soft_limit_nanos: int | None = None
    api_key_ids: References | None = None
    team_ids: References | None = None
    model_ids: References | None = None
    alert_thresholds: tuple[int, ...] | None = None
    at_limit: AtLimit | None = None
    enabled: bool | None = None


class ResetBudget(Command):
    """Begin again at nothing spent, in a new generation."""

    budget_id: BudgetId


class CloseBudget(Command):
    budget_id: BudgetId
