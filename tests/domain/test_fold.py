"""The fold: every event into resident state, whatever it is, without ever raising."""

from typing import Any

import pytest

from domain.api_key.api_key import API_KEYS
from domain.budget.budget import BUDGETS
from domain.completion.completion import OPEN_COMPLETIONS, Completion, Status
from domain.completion.events import CompletionCorrected, CompletionHoldRaised, CompletionProgressed, CompletionSettled
from domain.deciders import DECIDER_OF_CATEGORY
from domain.fold import TROUBLE, VERSIONS, fold
from domain.kernel import UnknownEvent
from domain.state import State
from domain.team.events import TeamRenamed
from domain.team.team import TEAMS
from tests import examples
from tests.domain.gateway import Gateway, made, tables
from tests.scenario import recorded


@pytest.fixture
def gateway() -> Gateway:
    gateway = Gateway().furnished()
    gateway.open_budget("b", 100_000)
    return gateway


def test_entities_are_folded_with_their_versions(gateway: Gateway) -> None:
    gateway.happened("team/t", TeamRenamed(name="Sales"))
    team = gateway.view.get(TEAMS, "t")
    assert team is not None
    assert (team.name, gateway.view.get(VERSIONS, "main/team/t")) == ("Sales", 2)


def test_a_completion_is_resident_while_it_is_open(gateway: Gateway) -> None:
    gateway.admit("c", stream=True)
    gateway.happened("completion/c", CompletionProgressed(output_tokens=5))
    completion = gateway.view.get(OPEN_COMPLETIONS, "c")
    assert completion is not None
    assert (completion.progress_tokens, gateway.view.get(VERSIONS, "main/completion/c")) == (5, 2)
    gateway.settle("c")
    assert gateway.view.get(OPEN_COMPLETIONS, "c") is None
    assert gateway.view.get(VERSIONS, "main/completion/c") is None


def test_a_correction_leaves_nothing_resident(gateway: Gateway) -> None:
    gateway.admit("c")
    gateway.settle("c")
    before = {name: dict(table) for name, table in tables(gateway.state).items()}
    gateway.happened("completion/c", examples.completion_corrected(holds=()))
    assert tables(gateway.state) == before


def test_the_own_state_of_an_ended_completion_is_known_from_its_stream(gateway: Gateway) -> None:
    gateway.admit("c")
    gateway.settle("c", made(output=5))
    state: Any = None
    for each in gateway.events:
        if each.stream == "main/completion/c":
            state = DECIDER_OF_CATEGORY["completion"].evolve(state, each)
    assert isinstance(state, Completion)
    assert (state.status, state.cost_nanos, state.outcomes[0].spent_nanos) == (Status.SETTLED, 20, 20)


@pytest.mark.parametrize(
    "event",
    [
        examples.completion_settled(),
        examples.completion_hold_raised(),
        examples.completion_progressed(),
        examples.completion_settled(recovered=True),
    ],
)
def test_what_is_said_of_a_completion_that_is_not_open_moves_nothing(
    gateway: Gateway, event: CompletionSettled | CompletionHoldRaised | CompletionProgressed
) -> None:
    before = {name: dict(table) for name, table in tables(gateway.state).items()}
    gateway.happened("completion/never", event)
    assert tables(gateway.state) == before


def test_a_second_admission_of_an_open_completion_moves_nothing(gateway: Gateway) -> None:
    admitted = gateway.admit("c")
    before = {name: dict(table) for name, table in tables(gateway.state).items()}
    gateway.happened("completion/c", admitted)
    after = tables(gateway.state)
    before[VERSIONS.name]["main/completion/c"] = 2
    assert after == before


def test_an_event_of_a_completion_that_can_not_be_read_makes_the_process_not_ready(gateway: Gateway) -> None:
    gateway.admit("c")
    gateway.happened("completion/c", UnknownEvent(unknown_topic="completion.refunded.v1"))
    assert gateway.view.get(VERSIONS, "main/completion/c") == 2
    ((stream, reason),) = gateway.view.items(TROUBLE)
    assert stream == "main/completion/c"
    assert "completion.refunded.v1" in reason


@pytest.mark.parametrize(("kind", "stream"), [(API_KEYS, "api-key/k"), (TEAMS, "team/t"), (BUDGETS, "budget/b")])
def test_an_event_of_an_entity_that_can_not_be_read_makes_it_unreadable_alone(gateway: Gateway, kind: Any, stream: str) -> None:
    gateway.happened(stream, UnknownEvent(unknown_topic="a.b.v9"))
    entity: Any = gateway.view.get(kind, stream.split("/")[1])
    assert not entity.readable
    assert gateway.view.get(VERSIONS, f"main/{stream}") is not None
    assert list(gateway.view.items(TROUBLE)) == []


def test_a_category_of_a_newer_gateway_is_passed_over(gateway: Gateway) -> None:
    before = {name: dict(table) for name, table in tables(gateway.state).items()}
    gateway.happened("holiday/h", UnknownEvent(unknown_topic="holiday.declared.v1"))
    assert tables(gateway.state) == before


def test_a_fault_of_the_fold_counts_as_an_event_that_can_not_be_read(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setitem(__import__("domain.fold").fold.INDEXES, "budget", broken)
    gateway.happened("budget/b", examples.budget_limit_changed())
    assert list(gateway.view.items(TROUBLE)) != []


@pytest.mark.parametrize("stream", [*(f"main/{category}/x" for category in DECIDER_OF_CATEGORY), "main/holiday/x", "odd", ""])
def test_no_event_on_any_stream_raises(stream: str) -> None:
    """Wherever it stands, and after each other one."""
    state = State()
    examples_twice = [*examples.EVENTS.values(), *examples.EVENTS.values()]
    for position, build in enumerate(examples_twice, 1):
        fold(state, recorded(build(), stream, position=position))
    assert bool(list(state.items(TROUBLE))) == (stream in {"odd", ""})


def test_the_evolve_of_corrections_and_raises_is_known_from_the_stream() -> None:
    evolve: Any = DECIDER_OF_CATEGORY["completion"].evolve
    admitted = examples.completion_admitted()
    state = evolve(None, recorded(admitted, "main/completion/c"))
    raised = evolve(state, recorded(examples.completion_hold_raised(), "main/completion/c"))
    assert [hold.nanos for hold in raised.holds] == [25_000_000]
    recovered = evolve(raised, recorded(examples.completion_settled(recovered=True), "main/completion/c"))
    assert recovered.status is Status.RECOVERED
    corrected: CompletionCorrected = examples.completion_corrected()
    assert evolve(recovered, recorded(corrected, "main/completion/c")).status is Status.SETTLED
