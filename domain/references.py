"""From what a forgettable payload is found by to its reference, of those that this process has met lately, and back.

Nobody folds it, since no event may say it: the log's writer reads it from the side rows that a batch's commands seek, and enters the rows
that the batch writes. So whatever a decider finds here is exact; what it doesn't find is nobody's. An erasure, folded, forgets.
"""

from typing import Final

from domain.kernel import Sought
from domain.state import Kind, View

REFERENCES: Final = Kind[Sought, str]("reference")
SOUGHT: Final = Kind[str, Sought]("sought")
"""The way back, by reference."""

END_USER: Final = "end_user"
"""The kind of payload that says who an end user is."""


def meet(view: View, sought: Sought, reference: str) -> None:
    view.put(REFERENCES, sought, reference)
    view.put(SOUGHT, reference, sought)


def forget(view: View, reference: str) -> None:
    sought = view.get(SOUGHT, reference)
    if sought is not None:
        view.put(REFERENCES, sought, None)
        view.put(SOUGHT, reference, None)
