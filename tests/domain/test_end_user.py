"""The rules of an end user: met once under one reference, erased once."""

from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.completion.commands import AdmitCompletion
from domain.end_user.end_user import EndUser, decide
from domain.errors import NotFound, Unreadable
from domain.fold import fold
from domain.kernel import Erase, Forgettable, Sought, UnknownEvent
from domain.references import END_USER, REFERENCES, SOUGHT, meet
from domain.state import Overlay, Scene, State
from tests.domain.gateway import Gateway
from tests.examples import END_USER_ID, end_user_erased, end_user_seen, erase_end_user, identify_end_user
from tests.scenario import NOW, given, recorded

ADA = Sought(END_USER, "ad" * 32)
ROW = Forgettable(END_USER, UUID(END_USER_ID), {"value": "ada@example.com", "hmac": ADA.hmac})
UNKNOWN = UnknownEvent(unknown_topic="end_user.divided.v1")


def test_who_is_met_for_the_first_time_is_known_by_a_reference_and_the_event_says_nothing_else() -> None:
    given().when(identify_end_user()).then(end_user_seen(), ROW)
    assert ROW.sought == ADA


def test_who_has_a_reference_gets_no_second_one() -> None:
    view = State()
    meet(view, ADA, "the first one")
    assert list(decide(identify_end_user(), Scene(view, None), NOW)) == []
    given(end_user_seen()).when(identify_end_user()).then_nothing()


def test_erasing_deletes_the_row_and_says_so_once() -> None:
    erased = given(end_user_seen()).when(erase_end_user()).then(end_user_erased(), Erase(END_USER, UUID(END_USER_ID)))
    erased.and_again().then_nothing()
    assert erased.state == EndUser(erased=True)


def test_nobody_can_be_erased_who_was_not_seen() -> None:
    given().when(erase_end_user()).then_refused(NotFound, END_USER_ID)


@pytest.mark.parametrize("past", [(UNKNOWN,), (end_user_seen(), UNKNOWN)])
def test_whoever_cannot_be_read_is_left_alone(past: tuple[UnknownEvent, ...]) -> None:
    given(*past).when(erase_end_user()).then_refused(Unreadable)


@pytest.mark.parametrize("value", ["", "x" * 513, "nul\0"])
def test_a_value_that_could_not_be_recorded_is_no_command(value: str) -> None:
    with pytest.raises(ValidationError):
        identify_end_user(value=value)


def test_an_erasure_folded_anywhere_forgets_the_person() -> None:
    view = Overlay(State())
    meet(view, ADA, END_USER_ID)
    fold(view, recorded(end_user_seen(), f"main/end-user/{END_USER_ID}"))
    assert view.get(REFERENCES, ADA) == END_USER_ID
    fold(view, recorded(end_user_erased(), f"main/end-user/{END_USER_ID}"))
    assert (view.get(REFERENCES, ADA), view.get(SOUGHT, END_USER_ID)) == (None, None)


def test_an_admission_names_the_reference_that_the_batch_knows_and_else_the_one_it_brings() -> None:
    gateway = Gateway().furnished()
    assert gateway.admit(end_user="mine", end_user_hmac=ADA.hmac).end_user == "mine"
    meet(gateway.view, ADA, "theirs")
    assert gateway.admit(end_user="mine", end_user_hmac=ADA.hmac).end_user == "theirs"
    assert gateway.admit(end_user_hmac="ef" * 32).end_user is None
    assert AdmitCompletion.model_fields["end_user_hmac"].default is None
