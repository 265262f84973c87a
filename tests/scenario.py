"""Given this past, when this is asked, then these events, none, or a refusal: for any decider."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final, Self

from domain.deciders import DECIDER_OF_COMMAND
from domain.errors import Refusal
from domain.fold import fold
from domain.kernel import Command, Decider, Event, Recorded, Said, UnknownEvent, stream_name
from domain.state import Scene, State

NOW: Final = datetime(2026, 3, 4, 9, tzinfo=UTC)
"""A Wednesday morning."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What happened on another stream than the command's."""

    stream: str
    event: Event
    at: datetime = NOW


def given(*past: Event | Elsewhere, at: datetime = NOW) -> "Scenario":
    return Scenario(past, at)


@dataclass(frozen=True, slots=True)
class Scenario:
    past: tuple[Event | Elsewhere, ...]
    at: datetime

    def when(self, command: Command, *, now: datetime = NOW) -> "Answer":
        return Answer(self, command, now)


class Answer:
    def __init__(self, scenario: Scenario, command: Command, now: datetime) -> None:
        self.scenario, self.command, self.now = scenario, command, now
        self.decider = DECIDER_OF_COMMAND[type(command)]
        self.said: list[Said] = []
        self.refusal: Refusal | None = None
        try:
            self.said = list(self.decider.decide(command, self._before(), now))
        except Refusal as refusal:
            self.refusal = refusal

    def then(self, *events: Said) -> Self:
        assert self.refusal is None, f"refused: {self.refusal}"
        assert self.said == list(events)
        return self

    def then_nothing(self) -> Self:
        return self.then()

    def then_refused(self, kind: type[Refusal], message: str = "", *, param: str | None = None) -> Self:
        assert type(self.refusal) is kind, f"not refused as {kind.__name__}: {self.refusal!r}, {self.said}"
        assert message in self.refusal.message
        assert param in (None, self.refusal.param)
        return self

    def and_again(self) -> "Answer":
        """The same is asked again, of what is then."""
        happened = [Elsewhere(self._stream, event, self.now) for event in self.said if isinstance(event, Event)]
        return Answer(Scenario((*self.scenario.past, *happened), self.scenario.at), self.command, self.now)

    @property
    def state(self) -> Any:
        """What the entity is then."""
        return self.and_again()._own()

    @property
    def _stream(self) -> str:
        return stream_name("main", self.decider.category, self.decider.stream_id(self.command))

    def _before(self) -> Any:
        if not self.decider.sees_all:
            return self._own()
        view = State()
        for recorded in self._recorded():
            fold(view, recorded)
        return Scene(view, self._own())

    def _own(self) -> Any:
        return folded(self.decider, [recorded for recorded in self._recorded() if recorded.stream == self._stream])

    def _recorded(self) -> list[Recorded[Any]]:
        past = [each if isinstance(each, Elsewhere) else Elsewhere(self._stream, each, self.scenario.at) for each in self.scenario.past]
        return [recorded(each.event, each.stream, each.at, position) for position, each in enumerate(past, 1)]


def recorded(event: Event, stream: str, at: datetime = NOW, position: int = 1) -> Recorded[Any]:
    topic = event.unknown_topic if isinstance(event, UnknownEvent) else event.topic
    return Recorded(position, stream, position, topic, at, "main", "system:test", "test", None, event, b"")


def folded(decider: Decider[Any], past: list[Recorded[Any]]) -> Any:
    return reduce(decider.evolve, past, None)
