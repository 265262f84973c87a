"""The rules of a team."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from domain.errors import Conflict, Invalid, NotFound
from domain.ids import TeamId
from domain.team.team import ADMINISTRATORS, Status
from tests.examples import (
    activate_team,
    change_team,
    create_team,
    delete_team,
    suspend_team,
    team_activated,
    team_created,
    team_deleted,
    team_described,
    team_renamed,
    team_suspended,
)
from tests.scenario import NOW, given


def test_a_team_is_created() -> None:
    team = given().when(create_team(name="Sales", description=None)).then(team_created(name="Sales", description=None)).state
    assert (team.name, team.description, team.status, team.created_at, team.updated_at) == ("Sales", None, Status.ACTIVE, NOW, NOW)


def test_a_team_is_created_once() -> None:
    given(team_created()).when(create_team()).then_refused(Conflict, "Team research already exists", param="id")


def test_a_deleted_team_can_be_created_again() -> None:
    later = NOW + timedelta(days=1)
    team = given(team_created(), team_suspended(), team_deleted()).when(create_team(), now=later).then(team_created()).state
    assert (team.status, team.created_at) == (Status.ACTIVE, later)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\0b"])
def test_a_team_has_a_name_of_1_to_100_characters(name: str) -> None:
    with pytest.raises(ValidationError):
        create_team(name=name)


def test_only_what_is_said_changes() -> None:
    given(team_created()).when(change_team(name="Basic research")).then(team_renamed(name="Basic research")).and_again().then_nothing()
    given(team_created()).when(change_team(description="New")).then(team_described(description="New")).and_again().then_nothing()
    both = change_team(name="Basic research", description="New")
    given(team_created()).when(both).then(team_renamed(name="Basic research"), team_described(description="New"))


def test_a_change_that_changes_nothing_is_no_news() -> None:
    given(team_created()).when(change_team()).then_nothing()
    given(team_created(name="Sales", description="It")).when(change_team(name="Sales", description="It")).then_nothing()


def test_a_change_dates_the_team() -> None:
    later = NOW + timedelta(hours=1)
    team = given(team_created()).when(change_team(name="Basic research"), now=later).state
    assert (team.name, team.created_at, team.updated_at) == ("Basic research", NOW, later)


def test_a_team_is_suspended_and_activated_again() -> None:
    suspended = given(team_created()).when(suspend_team()).then(team_suspended())
    suspended.and_again().then_nothing()
    assert suspended.state.status is Status.SUSPENDED
    assert given(team_created(), team_suspended()).when(activate_team()).then(team_activated()).state.status is Status.ACTIVE


def test_only_a_suspended_team_is_activated() -> None:
    given(team_created()).when(activate_team()).then_refused(Invalid, "Only a suspended team can be activated")


def test_a_team_is_deleted_once() -> None:
    given(team_created()).when(delete_team()).then(team_deleted()).and_again().then_refused(NotFound)


def test_the_administrators_can_be_neither_suspended_nor_deleted() -> None:
    administrators = TeamId(ADMINISTRATORS)
    given(team_created()).when(suspend_team(team_id=administrators)).then_refused(Invalid, "Cannot suspend the administrators team")
    given(team_created()).when(delete_team(team_id=administrators)).then_refused(Invalid, "Cannot delete the administrators team")


@pytest.mark.parametrize("ask", [change_team, suspend_team, activate_team, delete_team])
def test_nothing_can_be_asked_of_a_team_that_is_not_there(ask: type) -> None:
    given().when(ask()).then_refused(NotFound, "There is no team research")
    given(team_created(), team_deleted()).when(ask()).then_refused(NotFound)
