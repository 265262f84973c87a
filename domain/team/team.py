"""The rules of a team."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from domain.change import facts, said
from domain.errors import Conflict, Invalid, NotFound, Unreadable
from domain.kernel import Decider, Event, Recorded, UnknownEvent
from domain.state import Kind
from domain.team.commands import ActivateTeam, ChangeTeam, CreateTeam, DeleteTeam, SuspendTeam
from domain.team.events import TeamActivated, TeamCreated, TeamDeleted, TeamDescribed, TeamRenamed, TeamSuspended

ADMINISTRATORS: Final = "administrators"
FACTS: Final = (TeamRenamed, TeamDescribed)
"""Each says anew what its fields, which are the team's own, are."""


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    name: str
    description: str | None
    status: Status
    created_at: datetime
    updated_at: datetime
    readable: bool = True
    """False once an event stood on it that this process can't read: admissions that touch it get 503."""


TEAMS: Final = Kind[str, Team]("team")

TeamCommand = CreateTeam | ChangeTeam | SuspendTeam | ActivateTeam | DeleteTeam


def decide(command: TeamCommand, team: Team | None, now: datetime) -> Iterator[Event]:
    match command, team:
        case _, Team(readable=False):
            raise Unreadable
        case CreateTeam(), None | Team(status=Status.DELETED):
            yield TeamCreated(name=command.name, description=command.description)
        case CreateTeam(), _:
            raise Conflict(f"Team {command.team_id} already exists", param="id")
        case _, Team(status=Status.ACTIVE | Status.SUSPENDED):
            yield from _decide_on(team, command)
        case _:
            raise NotFound(f"There is no team {command.team_id}")


def _decide_on(team: Team, command: TeamCommand) -> Iterator[Event]:
    match command:
        case ChangeTeam():
            yield from facts(FACTS, team, replace(team, **said(command, but=("team_id",))))
        case SuspendTeam():
            _refuse_for_administrators(command, "suspend")
            if team.status is Status.ACTIVE:
                yield TeamSuspended()
        case ActivateTeam():
            if team.status is not Status.SUSPENDED:
                raise Invalid(f"Only a suspended team can be activated; team {command.team_id} is {team.status}")
            yield TeamActivated()
        case DeleteTeam():
            _refuse_for_administrators(command, "delete")
            yield TeamDeleted()


def _refuse_for_administrators(command: SuspendTeam | DeleteTeam, verb: str) -> None:
    """Without them nobody could undo it."""
    if command.team_id == ADMINISTRATORS:
        raise Invalid(f"Cannot {verb} the administrators team")


def evolve(team: Team | None, recorded: Recorded[Any]) -> Team | None:
    match recorded.event, team:
        case TeamCreated(name=name, description=description), _:
            readable = team is None or team.readable
            return replace(_blank(recorded.at), name=name, description=description, readable=readable)
        case UnknownEvent(), _:
            return replace(team or _blank(recorded.at), readable=False, updated_at=recorded.at)
        case event, Team(status=Status.ACTIVE | Status.SUSPENDED) if changes := _changes(event):
            return replace(team, updated_at=recorded.at, **changes)
    return team


def _blank(at: datetime) -> Team:
    return Team(name="", description=None, status=Status.ACTIVE, created_at=at, updated_at=at)


def _changes(event: Event) -> dict[str, Any]:
    match event:
        case TeamSuspended():
            return {"status": Status.SUSPENDED}
        case TeamActivated():
            return {"status": Status.ACTIVE}
        case TeamDeleted():
            return {"status": Status.DELETED}
    return dict(event) if type(event) in FACTS else {}


decider = Decider[Team](
    category="team",
    identity="team_id",
    kind=TEAMS,
    commands=(CreateTeam, ChangeTeam, SuspendTeam, ActivateTeam, DeleteTeam),
    events=(TeamCreated, *FACTS, TeamSuspended, TeamActivated, TeamDeleted),
    decide=decide,
    evolve=evolve,
)
