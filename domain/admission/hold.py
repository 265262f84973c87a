"""Raising a hold: a failed attempt may be billed, and the next one needs all that was held."""

from collections.abc import Iterator
from datetime import datetime

from domain.admission.ledger import balance_of_hold
from domain.admission.rules import enough
from domain.admission.settle import dearest_nanos, there
from domain.budget.budget import BUDGETS
from domain.completion.commands import RaiseHold
from domain.completion.completion import Completion, Status
from domain.completion.events import CompletionHoldRaised, Hold
from domain.errors import Conflict
from domain.state import Scene, View


def raise_hold(command: RaiseHold, scene: Scene[Completion], now: datetime) -> Iterator[CompletionHoldRaised]:
    """By what a failed attempt is charged: its prompt, at its bound. On the accounts that are held on already, whatever period it is."""
    completion = there(scene.own, command.completion_id)
    if completion.status is not Status.OPEN:
        raise Conflict(f"The completion {command.completion_id} has ended")
    nanos = dearest_nanos(completion, scene.view, output_tokens=0)
    if not nanos or not completion.holds:
        return
    for hold in completion.holds:
        _check(scene.view, hold, nanos)
    yield CompletionHoldRaised(holds=tuple([hold.model_copy(update={"nanos": nanos}) for hold in completion.holds]))


def _check(view: View, hold: Hold, nanos: int) -> None:
    """A budget that is closed or disabled binds nobody."""
    budget, balance = view.get(BUDGETS, hold.budget_id), balance_of_hold(view, hold)
    if budget is not None and balance is not None and budget.enabled and not budget.closed:
        enough(hold.budget_id, balance, nanos)
