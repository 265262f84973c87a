"""What can happen to a team. Stored: add fields with defaults, never rename or remove."""

from typing import ClassVar

from domain.kernel import Event


class TeamCreated(Event):
    topic: ClassVar[str] = "team.created.v1"

    name: str
    description: str | None = None


class TeamRenamed(Event):
    topic: ClassVar[str] = "team.renamed.v1"

    name: str


class TeamDescribed(Event):
    topic: ClassVar[str] = "team.described.v1"

    description: str | None


class TeamSuspended(Event):
    topic: ClassVar[str] = "team.suspended.v1"


class TeamActivated(Event):
    topic: ClassVar[str] = "team.activated.v1"


class TeamDeleted(Event):
    topic: ClassVar[str] = "team.deleted.v1"
