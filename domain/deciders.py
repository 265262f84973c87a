"""Every aggregate, listed: the table of contents of the system."""

from typing import Any, Final

from domain.admission.admit import decider as completion
from domain.api_key.api_key import decider as api_key
from domain.budget.budget import decider as budget
from domain.credential.credential import decider as credential
from domain.end_user.end_user import decider as end_user
from domain.kernel import Command, Decider, Event
from domain.model.model import decider as model
from domain.process.process import decider as process
from domain.refusal.refusal import decider as refusal
from domain.rewind.rewind import decider as rewind
from domain.team.team import decider as team
from domain.usage.usage import decider as usage

DECIDERS: Final[tuple[Decider[Any], ...]] = (
    team,
    api_key,
    credential,
    model,
    budget,
    completion,
    end_user,
    process,
    refusal,
    rewind,
    usage,
)

DECIDER_OF_CATEGORY: Final = {decider.category: decider for decider in DECIDERS}
DECIDER_OF_COMMAND: Final[dict[type[Command], Decider[Any]]] = {command: decider for decider in DECIDERS for command in decider.commands}
EVENT_OF_TOPIC: Final[dict[str, type[Event]]] = {event.topic: event for decider in DECIDERS for event in decider.events}
