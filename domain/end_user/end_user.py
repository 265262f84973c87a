"""The rules of an end user."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.end_user.commands import EraseEndUser, IdentifyEndUser
from domain.end_user.events import EndUserErased, EndUserSeen
from domain.errors import NotFound, Unreadable
from domain.kernel import Decider, Erase, Forgettable, Recorded, Said, UnknownEvent
from domain.references import END_USER, REFERENCES
from domain.state import Kind, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class EndUser:
    erased: bool = False
    readable: bool = True


END_USERS: Final = Kind[str, EndUser]("end-user")

EndUserCommand = IdentifyEndUser | EraseEndUser


def decide(command: EndUserCommand, scene: Scene[EndUser], now: datetime) -> Iterator[Said]:
    match command, scene.own:
        case _, EndUser(readable=False):
            raise Unreadable
        case IdentifyEndUser(), None:
            if scene.view.get(REFERENCES, command.seeks) is None:
                yield EndUserSeen()
                yield Forgettable(END_USER, UUID(command.reference), {"value": command.value, "hmac": command.hmac})
        case EraseEndUser(), None:
            raise NotFound(f"There is no end user {command.reference}")
        case EraseEndUser(), EndUser(erased=False):
            yield EndUserErased()
            yield Erase(END_USER, UUID(command.reference))


def evolve(end_user: EndUser | None, recorded: Recorded[Any]) -> EndUser | None:
    match recorded.event:
        case EndUserSeen():
            return end_user or EndUser()
        case EndUserErased():
            return replace(end_user or EndUser(), erased=True)
        case UnknownEvent():
            return replace(end_user or EndUser(), readable=False)
    return end_user


decider = Decider[EndUser](
    category="end-user",
    identity="reference",
    kind=END_USERS,
    commands=(IdentifyEndUser, EraseEndUser),
    events=(EndUserSeen, EndUserErased),
    decide=decide,
    evolve=evolve,
    resident=False,
    sees_all=True,
)
