"""What holds for every aggregate, whatever its rules."""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from pydantic import ValidationError

import domain
from domain.deciders import DECIDER_OF_CATEGORY, DECIDER_OF_COMMAND, DECIDERS, EVENT_OF_TOPIC
from domain.errors import Unreadable
from domain.ids import Slug
from domain.kernel import Command, Decider, Event, UnknownEvent
from tests.examples import COMMANDS, EVENTS
from tests.scenario import folded, given, recorded

SAMPLES = Path(__file__).parent.parent / "contract" / "events"
UNKNOWN = UnknownEvent(unknown_topic="future.happened.v1")

every_aggregate = pytest.mark.parametrize("decider", DECIDERS, ids=lambda decider: decider.category)
every_simple_aggregate = pytest.mark.parametrize(
    "decider", [decider for decider in DECIDERS if not decider.sees_all], ids=lambda decider: decider.category
)
every_topic = pytest.mark.parametrize("topic", EVENT_OF_TOPIC)
every_command = pytest.mark.parametrize("command", DECIDER_OF_COMMAND, ids=lambda command: command.__name__)


def stored_events() -> Iterator[type[Event]]:
    """Of every `domain/*/events.py`."""
    for package in iter_modules(domain.__path__):
        if package.ispkg and (Path(domain.__path__[0]) / package.name / "events.py").exists():
            module = import_module(f"domain.{package.name}.events")
            yield from (
                each
                for each in vars(module).values()
                if isinstance(each, type) and issubclass(each, Event) and each.__module__ == module.__name__
            )


def pasts(decider: Decider[Any], length: int) -> Iterator[tuple[Event, ...]]:
    """Every sequence of its events, those that could never happen too, and with one that nobody knows."""
    events = [*(EVENTS[event]() for event in decider.events), UNKNOWN]
    return product(events, repeat=length)


def states(decider: Decider[Any], length: int = 2) -> list[Any]:
    """Whatever can be reached in so many steps, the beginning included."""
    found = [None]
    for past in pasts(decider, length):
        state = folded(decider, [recorded(event, "main/any/id") for event in past])
        if state not in found:
            found.append(state)
    return found


def test_every_event_and_every_command_belongs_to_one_aggregate() -> None:
    assert set(stored_events()) == set(EVENT_OF_TOPIC.values())
    assert sum(len(decider.events) for decider in DECIDERS) == len(EVENT_OF_TOPIC)
    assert sum(len(decider.commands) for decider in DECIDERS) == len(DECIDER_OF_COMMAND)
    assert len(DECIDER_OF_CATEGORY) == len({decider.kind.name for decider in DECIDERS}) == len(DECIDERS)


def test_every_event_and_every_command_has_an_example() -> None:
    assert EVENTS.keys() == set(EVENT_OF_TOPIC.values())
    assert COMMANDS.keys() == DECIDER_OF_COMMAND.keys()


@every_aggregate
def test_topics_have_a_version_and_belong_to_their_aggregate(decider: Decider[Any]) -> None:
    noun = decider.category.replace("-", "_")
    for event in decider.events:
        assert re.fullmatch(rf"{noun}\.[a-z_]+\.v[1-9][0-9]*", event.topic)


@every_command
def test_a_command_names_its_stream(command: type[Command]) -> None:
    decider = DECIDER_OF_COMMAND[command]
    assert command.model_fields[decider.identity].is_required()
    assert isinstance(getattr(COMMANDS[command](), decider.identity), Slug)
    assert decider.stream_id(COMMANDS[command]())


@every_command
def test_a_command_forbids_what_it_does_not_know(command: type[Command]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        COMMANDS[command](surprise=1)


@every_topic
def test_what_is_stored_loads_for_ever(topic: str) -> None:
    """The samples are the contract: a new event comes with one, and none is ever changed."""
    kind, sample = EVENT_OF_TOPIC[topic], (SAMPLES / f"{topic}.json").read_bytes()
    event = kind.model_validate_json(sample)
    assert kind.model_validate_json(event.model_dump_json()) == event
    assert json.loads(sample).keys() <= kind.model_fields.keys()


@every_topic
def test_what_a_newer_release_adds_is_passed_over(topic: str) -> None:
    kind, sample = EVENT_OF_TOPIC[topic], json.loads((SAMPLES / f"{topic}.json").read_text())
    assert kind.model_validate_json(json.dumps(_with_news(sample))) == kind.model_validate_json(json.dumps(sample))


def _with_news(value: Any) -> Any:
    """An unknown field in every object that isn't free in its keys."""
    match value:
        case dict() if not value.keys() & {"cost-centre", "feature", "input", "output", "prompt_tokens"}:
            return {name: _with_news(part) for name, part in value.items()} | {"news": {"of": 1}}
        case list():
            return [_with_news(part) for part in value]
    return value


def test_no_sample_is_forgotten_by_the_code() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == EVENT_OF_TOPIC.keys()


@every_aggregate
def test_folding_is_total(decider: Decider[Any]) -> None:
    """Any event on any state, its own and foreign ones: folding never raises, and what doesn't fit changes nothing."""
    foreign = [build() for kind, build in EVENTS.items() if kind not in decider.events]
    for state in states(decider):
        for event in [*(EVENTS[kind]() for kind in decider.events), UNKNOWN]:
            decider.evolve(state, recorded(event, "main/any/id"))
        for event in foreign:
            assert decider.evolve(state, recorded(event, "main/any/id")) == state


@every_simple_aggregate
def test_deciding_answers_or_refuses_and_says_why_whatever_the_state(decider: Decider[Any]) -> None:
    for past in pasts(decider, 2):
        for command in decider.commands:
            answer = given(*past).when(COMMANDS[command]())
            assert {type(event) for event in answer.said} <= set(decider.events)
            assert answer.refusal is None or answer.refusal.message.strip()


@every_simple_aggregate
def test_what_is_asked_twice_happens_once(decider: Decider[Any]) -> None:
    """The second time says nothing, or is refused. But a reset asked for twice is two resets."""
    for command in decider.commands:
        if command.__name__ == "ResetBudget":
            continue
        for past in pasts(decider, 2):
            again = given(*past).when(COMMANDS[command]()).and_again()
            assert again.refusal is not None or again.said == [], (past, again.said)


@pytest.mark.parametrize("category", ["team", "api-key", "credential", "model", "budget", "process"])
def test_an_entity_that_this_process_cannot_read_is_left_alone(category: str) -> None:
    decider = DECIDER_OF_CATEGORY[category]
    created = EVENTS[decider.events[0]]()
    for command in decider.commands:
        given(created, UNKNOWN).when(COMMANDS[command]()).then_refused(Unreadable, "newer release")


@pytest.mark.parametrize("category", ["team", "api-key", "credential", "model", "budget"])
def test_an_entity_that_began_in_a_way_this_process_cannot_read_is_left_alone_too(category: str) -> None:
    decider = DECIDER_OF_CATEGORY[category]
    created = EVENTS[decider.events[0]]()
    for past in ((UNKNOWN,), (UNKNOWN, created)):
        given(*past).when(COMMANDS[decider.commands[0]]()).then_refused(Unreadable)
