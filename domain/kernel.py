"""The grammar: commands ask, deciders decide, events say what happened. Every aggregate is written in these words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from domain.state import Kind

E_co = TypeVar("E_co", covariant=True)
S = TypeVar("S")


class Value(BaseModel):
    """A part of an event or a command. Readers tolerate fields they don't know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(BaseModel):
    """What happened, in the past participle. Stored for ever: add fields with defaults, never rename or remove."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    topic: ClassVar[str]


class UnknownEvent(Event):
    """An event whose topic this process doesn't know (a newer process wrote it) or whose data it can't read."""

    unknown_topic: str


class Sought(NamedTuple):
    """A forgettable payload by what it is found by: the HMAC of something that no two of a kind share."""

    kind: str
    hmac: str
    """Hexadecimal."""


class Command(BaseModel):
    """What is asked, in the imperative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    opens: ClassVar[bool] = False
    """True where the command's stream id was minted by the asking process: nothing can be stored there yet."""

    @property
    def seeks(self) -> Sought | None:
        """The forgettable payload that deciding this needs to know of: it is looked up under the log's lock, see `domain.references`."""
        return None


class Forgettable(NamedTuple):
    """A payload that may be erased one day: a row of a side table, written in the transaction of the events beside it.

    The event carries only `reference`. `kind` names what the body holds; `body` is JSON. One that can be sought has its `hmac` in there.
    """

    kind: str
    reference: UUID
    body: dict[str, Any]

    @property
    def sought(self) -> Sought | None:
        hmac = self.body.get("hmac")
        return None if hmac is None else Sought(self.kind, hmac)


class Erase(NamedTuple):
    """A forgettable payload's end: its row is deleted in the transaction of the event that says so."""

    kind: str
    reference: UUID


Said = Event | Forgettable | Erase
"""What a decider may say."""


class Recorded(NamedTuple, Generic[E_co]):
    """An event in its envelope. `position` counts from 1 without gaps over the whole log, `version` within the stream."""

    position: int
    stream: str
    version: int
    topic: str
    at: datetime
    org: str
    by: str
    correlation_id: str
    causation_id: str | None
    event: E_co
    hash: bytes

    @property
    def id(self) -> str:
        """The part of the stream's name that names the entity: `{org}/{category}/{id}`."""
        return self.stream.split("/", 2)[2]


@dataclass(frozen=True, kw_only=True)  # with slots too, Python 3.11 fails on Decider[...](...)
class Decider(Generic[S]):
    """An aggregate: its commands, its events, and two plain functions.

    `decide(command, state, now)` yields events, Forgettables and Erases, or raises a Refusal. `evolve(state, recorded)` is total: it never
    raises and never asserts, since it runs on every replay for ever.
    `resident` aggregates are in memory in every process, all of them, under `kind`; of the others `kind` may hold some (open runs), and
    the rest is loaded from the log when a command names it.
    Where `sees_all`, the state argument of `decide` is a `Scene`: the whole resident state beside the aggregate's own.
    """

    category: str
    identity: str
    kind: Kind[str, S]
    commands: tuple[type[Command], ...]
    events: tuple[type[Event], ...]
    decide: Callable[[Any, Any, datetime], Iterable[Said]]
    evolve: Callable[[S | None, Recorded[Any]], S | None]
    resident: bool = True
    sees_all: bool = False

    def stream_id(self, command: Command) -> str:
        return str(getattr(command, self.identity))


def stream_name(org: str, category: str, identity: str) -> str:
    return f"{org}/{category}/{identity}"
