"""After a rewind, a completion whose admission was lost is entered again, exempt from limits; then it goes on as any other."""

import pytest

from domain.admission.ledger import balance
from domain.audit import Books, enter
from domain.completion.commands import ReadmitCompletion, RecoverCompletion
from domain.completion.completion import OPEN_COMPLETIONS
from domain.completion.events import CompletionAdmitted, CompletionReadmitted, CompletionSettled
from domain.errors import BudgetExceeded
from domain.ids import CompletionId
from tests.domain.gateway import Gateway, made

HOLD_NANOS = 100 + 4 * 1_000
"""For the prompt's bound and the whole answer."""


@pytest.fixture
def gateway() -> Gateway:
    return Gateway().furnished()


def lost(gateway: Gateway, **changes: object) -> CompletionAdmitted:
    """What was admitted, and is not in the log any more."""
    before = len(gateway.events)
    gateway.draft()
    admitted = gateway.admit("c1", output_cap=1_000, **changes)
    gateway.drop(before)
    return admitted


def readmission(admitted: CompletionAdmitted) -> ReadmitCompletion:
    return ReadmitCompletion(completion_id=CompletionId("c1"), lost_position=99, admitted=admitted)


def test_what_the_log_lost_is_entered_again_as_it_was(gateway: Gateway) -> None:
    gateway.open_budget()
    admitted = lost(gateway)
    assert gateway.ask(readmission(admitted)) == [CompletionReadmitted(lost_position=99, admitted=admitted)]
    assert balance(gateway.state, "b", gateway.at).held_nanos == HOLD_NANOS
    opened = gateway.state.get(OPEN_COMPLETIONS, "c1")
    assert opened is not None
    assert (opened.admitted, opened.position) == (admitted, len(gateway.events))


def test_no_limit_stands_in_its_way_and_those_who_come_after_it_are_refused(gateway: Gateway) -> None:
    gateway.open_budget(limit=HOLD_NANOS)
    admitted = lost(gateway)
    gateway.admit("c2", output_cap=1_000)
    gateway.ask(readmission(admitted))
    assert balance(gateway.state, "b", gateway.at).held_nanos == 2 * HOLD_NANOS
    with pytest.raises(BudgetExceeded):
        gateway.admit("c3", output_cap=1)


def test_a_second_time_and_for_what_the_log_still_knows_nothing_is_said(gateway: Gateway) -> None:
    admitted = gateway.admit("c1")
    assert gateway.ask(readmission(admitted)) == []
    gateway.settle("c1", made(output=5))
    assert gateway.ask(readmission(admitted)) == []


def test_it_is_settled_like_any_other(gateway: Gateway) -> None:
    gateway.open_budget()
    gateway.ask(readmission(lost(gateway)))
    settled = gateway.settled("c1", made(input=10, output=5))
    assert settled.cost_nanos == 10 + 4 * 5
    standing = balance(gateway.state, "b", gateway.at)
    assert (standing.settled_nanos, standing.held_nanos) == (30, 0)


def test_it_is_recovered_like_any_other(gateway: Gateway) -> None:
    gateway.open_budget()
    gateway.ask(readmission(lost(gateway)))
    (settled,) = gateway.ask(RecoverCompletion(completion_id=CompletionId("c1")))
    assert isinstance(settled, CompletionSettled)
    assert (settled.recovered, settled.holds[0].spent_nanos) == (True, HOLD_NANOS)


def test_an_auditor_lists_it_and_does_not_mind_the_limit(gateway: Gateway) -> None:
    gateway.open_budget(limit=HOLD_NANOS)
    admitted = lost(gateway)
    gateway.admit("c2", output_cap=1_000)
    gateway.ask(readmission(admitted))
    position = len(gateway.events)
    for completion_id in ("c1", "c2"):
        gateway.settle(completion_id, made(output=5))
    books = Books()
    assert [finding for each in gateway.events for finding in enter(books, each)] == []
    assert (books.readmitted, books.admitted, books.settled) == ([position], 2, 2)


def test_a_budget_that_the_log_lost_too_is_no_obstacle(gateway: Gateway) -> None:
    before = len(gateway.events)
    gateway.draft()
    gateway.open_budget()
    admitted = gateway.admit("c1", output_cap=1_000)
    gateway.drop(before)
    gateway.ask(readmission(admitted))
    assert gateway.settled("c1", made(output=5)).holds[0].spent_nanos == 20
