"""What can happen to an end user. Stored: add fields with defaults, never rename or remove."""

from typing import ClassVar

from domain.kernel import Event


class EndUserSeen(Event):
    """For the first time. Who it is, the side row of this reference says, as long as it is there."""

    topic: ClassVar[str] = "end_user.seen.v1"


class EndUserErased(Event):
    """Nothing tells any more who it was."""

    topic: ClassVar[str] = "end_user.erased.v1"
