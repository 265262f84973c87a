"""Who a completion is for: a person's id, as the client wrote it, becomes a reference that says nothing about them.

The reference of whoever this process has met lately is in memory, and asking costs nothing. Anybody else is introduced in the batch that
admits their completion: it looks them up, and only if they are new, the reference minted here becomes theirs. So each has one, however
many processes meet them at once, and whoever is refused leaves no trace.
"""

import hmac
from typing import NamedTuple

from application.ports import Clock
from domain.end_user.commands import IdentifyEndUser
from domain.ids import EndUserId
from domain.kernel import Sought
from domain.references import END_USER, REFERENCES
from domain.state import View


class EndUser(NamedTuple):
    """A person as the client names them, and what they are found by."""

    value: str
    sought: Sought


def end_user(installation_key: bytes, org: str, value: str) -> EndUser:
    """Under a key of the organisation's own: the same id means nothing in another."""
    key = hmac.digest(installation_key, f"end users of {org}".encode(), "sha256")
    return EndUser(value, Sought(END_USER, hmac.digest(key, value.encode(), "sha256").hex()))


def introduction(view: View, clock: Clock, who: EndUser | None) -> IdentifyEndUser | None:
    """None: there is nobody, or they are known here."""
    if who is None or view.get(REFERENCES, who.sought) is not None:
        return None
    return IdentifyEndUser(reference=EndUserId(str(clock.uuid7())), value=who.value, hmac=who.sought.hmac)
