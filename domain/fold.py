"""One event into resident state: the entity's own table, its stream's version, the directory's indexes and the ledger.

Every process folds every event with this function, so it is total: whatever stands in the log, it never raises.
"""

from collections.abc import Callable
from typing import Any, Final

from domain.admission.directory import index_budget, index_key, index_model
from domain.admission.ledger import correct, open_account, place, settle
from domain.admission.rates import count_admission, count_settlement
from domain.budget.events import BudgetOpened
from domain.completion.completion import OPEN_COMPLETIONS, evolve
from domain.completion.events import (
    CompletionAdmitted,
    CompletionCorrected,
    CompletionHoldRaised,
    CompletionReadmitted,
    CompletionSettled,
)
from domain.deciders import DECIDER_OF_CATEGORY
from domain.end_user.events import EndUserErased
from domain.kernel import Recorded, UnknownEvent
from domain.references import forget
from domain.state import Kind, View

COMPLETION: Final = "completion"

VERSIONS: Final = Kind[str, int]("version")
"""From stream to version, for what is resident."""

TROUBLE: Final = Kind[str, str]("trouble")
"""From stream to the reason why this process is not ready: it can't know what is held and spent."""

Index = Callable[[View, str, Any, Any], None]
INDEXES: Final[dict[str, Index]] = {"api-key": index_key, "budget": index_budget, "model": index_model}


def fold(view: View, recorded: Recorded[Any]) -> None:
    try:
        _fold(view, recorded)
    except Exception:  # noqa: BLE001 (one event must not stop the fleet)
        _distrust(view, recorded)


def _fold(view: View, recorded: Recorded[Any]) -> None:
    _, category, identity = recorded.stream.split("/", 2)
    if category == COMPLETION:
        _fold_completion(view, recorded, identity)
    else:
        _fold_entity(view, recorded, category, identity)


def _distrust(view: View, recorded: Recorded[Any]) -> None:
    """A fault of ours counts as an event that can't be read: what it stands on is refused."""
    try:
        _fold(view, recorded._replace(event=UnknownEvent(unknown_topic=recorded.topic)))
    except Exception:  # noqa: BLE001
        view.put(TROUBLE, recorded.stream, f"The event {recorded.topic} of {recorded.stream} can't be folded")


def _fold_entity(view: View, recorded: Recorded[Any], category: str, identity: str) -> None:
    if isinstance(recorded.event, EndUserErased):
        forget(view, identity)
    decider = DECIDER_OF_CATEGORY.get(category)
    if decider is None or not decider.resident:
        return
    before = view.get(decider.kind, identity)
    after = decider.evolve(before, recorded)
    view.put(decider.kind, identity, after)
    view.put(VERSIONS, recorded.stream, recorded.version)
    index = INDEXES.get(category)
    if index is not None:
        index(view, identity, before, after)
    if isinstance(recorded.event, BudgetOpened):
        open_account(view, identity, recorded.event.starting_spend_nanos, recorded.at)


def _fold_completion(view: View, recorded: Recorded[Any], identity: str) -> None:
    """A completion is resident while it is open. What the log says of one that isn't moves nothing but a correction does."""
    completion = view.get(OPEN_COMPLETIONS, identity)
    match recorded.event:
        case CompletionAdmitted() | CompletionReadmitted() if completion is None:
            completion = evolve(None, recorded)
            assert completion is not None
            view.put(OPEN_COMPLETIONS, identity, completion)
            view.put(VERSIONS, recorded.stream, recorded.version)
            place(view, completion.holds, recorded.at)
            count_admission(view, completion.admitted, recorded.at)
        case CompletionSettled() as settled if completion is not None:
            view.put(OPEN_COMPLETIONS, identity, None)
            view.put(VERSIONS, recorded.stream, None)
            settle(view, completion.holds, settled.holds, recorded.at)
            count_settlement(view, completion.admitted, completion.admitted_at, settled)
        case CompletionCorrected(holds=corrections):
            correct(view, corrections, recorded.at)
        case event:
            if isinstance(event, UnknownEvent):
                view.put(TROUBLE, recorded.stream, f"This process is too old to read the event {recorded.topic} of {recorded.stream}")
            if completion is not None:
                view.put(OPEN_COMPLETIONS, identity, evolve(completion, recorded))
                view.put(VERSIONS, recorded.stream, recorded.version)
                place(view, event.holds if isinstance(event, CompletionHoldRaised) else (), recorded.at)
