"""The rules of an API key."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from domain.api_key.api_key import Status
from domain.api_key.events import Permissions, RateLimits
from domain.errors import Conflict, Invalid, NotFound
from domain.text import TAGS_MAX
from tests.examples import (
    NEXT_YEAR,
    activate_api_key,
    api_key_activated,
    api_key_deleted,
    api_key_described,
    api_key_expiry_changed,
    api_key_issued,
    api_key_permissions_changed,
    api_key_rate_limits_changed,
    api_key_revoked,
    api_key_suspended,
    change_api_key,
    delete_api_key,
    issue_api_key,
    revoke_api_key,
    suspend_api_key,
)
from tests.scenario import NOW, given


def test_a_key_is_issued() -> None:
    key = given().when(issue_api_key()).then(api_key_issued()).state
    assert (key.status, key.team_id, key.secret_sha256, key.created_at) == (Status.ACTIVE, "research", "3f" * 32, NOW)


def test_an_id_is_issued_once() -> None:
    given(api_key_issued()).when(issue_api_key()).then_refused(Conflict, "API key notebook already exists", param="id")
    given(api_key_issued(), api_key_revoked()).when(issue_api_key()).then_refused(Conflict)


def test_a_deleted_key_s_id_can_be_issued_again() -> None:
    later = NOW + timedelta(days=1)
    key = given(api_key_issued(), api_key_deleted()).when(issue_api_key(secret_sha256="4a" * 32), now=later).state
    assert (key.status, key.secret_sha256, key.created_at) == (Status.ACTIVE, "4a" * 32, later)


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret_sha256": "4A" * 32},
        {"secret_sha256": "4a" * 31},
        {"name": ""},
        {"expires_at": datetime(2027, 1, 1)},  # noqa: DTZ001 (without an offset it is no moment)
        {"expires_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))},
        {"rate_limits": {"requests_per_minute": 0}},
        {"rate_limits": {"tokens_per_minute": -5}},
        {"permissions": {"models": "some"}},
        {"tags": {str(number): "" for number in range(TAGS_MAX + 1)}},
        {"tags": {"": "nameless"}},
    ],
)
def test_what_a_key_can_not_be_issued_with(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        issue_api_key(**wrong)


def test_expiry_is_kept_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    key = given().when(issue_api_key(expires_at=datetime(2027, 1, 1, 1, tzinfo=berlin))).state
    assert key.expires_at == NEXT_YEAR
    assert key.expires_at.utcoffset() == timedelta(0)


def test_a_key_expires_at_the_moment_it_says() -> None:
    key = given().when(issue_api_key(expires_at=NEXT_YEAR)).state
    assert not key.expired(NEXT_YEAR - timedelta(microseconds=1))
    assert key.expired(NEXT_YEAR)
    assert not given().when(issue_api_key(expires_at=None)).state.expired(NEXT_YEAR)


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ({"permissions": Permissions(models="none")}, api_key_permissions_changed(permissions=Permissions(models="none"))),
        ({"rate_limits": RateLimits()}, api_key_rate_limits_changed(rate_limits=RateLimits())),
        ({"expires_at": None}, api_key_expiry_changed(expires_at=None)),
        ({"expires_at": NOW}, api_key_expiry_changed(expires_at=NOW)),
        ({"name": "Other"}, api_key_described(name="Other", description="Old", tags={"a": "1"})),
        ({"tags": {}}, api_key_described(name="Key", description="Old", tags={})),
        ({"description": "New"}, api_key_described(name="Key", description="New", tags={"a": "1"})),
    ],
)
def test_only_what_is_said_changes(said: dict[str, Any], fact: Any) -> None:
    issued = api_key_issued(name="Key", description="Old", tags={"a": "1"})
    given(issued).when(change_api_key(**said)).then(fact).and_again().then_nothing()


def test_an_expiry_that_is_left_unsaid_stays() -> None:
    key = given(api_key_issued(expires_at=NEXT_YEAR)).when(change_api_key(name="Other")).state
    assert (key.name, key.expires_at) == ("Other", NEXT_YEAR)


def test_a_change_that_changes_nothing_is_no_news() -> None:
    given(api_key_issued()).when(change_api_key()).then_nothing()
    given(api_key_issued(expires_at=None)).when(change_api_key(expires_at=None)).then_nothing()
    same = api_key_issued()
    given(same).when(change_api_key(permissions=same.permissions, rate_limits=same.rate_limits, tags=same.tags)).then_nothing()


def test_a_key_is_suspended_and_activated_again() -> None:
    suspended = given(api_key_issued()).when(suspend_api_key()).then(api_key_suspended())
    suspended.and_again().then_nothing()
    assert suspended.state.status is Status.SUSPENDED
    assert given(api_key_issued(), api_key_suspended()).when(activate_api_key()).then(api_key_activated()).state.status is Status.ACTIVE


def test_only_a_suspended_key_is_activated() -> None:
    given(api_key_issued()).when(activate_api_key()).then_refused(Invalid, "Only a suspended API key")
    given(api_key_issued(), api_key_revoked()).when(activate_api_key()).then_refused(Invalid, "is revoked")


def test_a_key_is_revoked_for_ever() -> None:
    given(api_key_issued(), api_key_suspended()).when(revoke_api_key()).then(api_key_revoked())
    revoked = given(api_key_issued()).when(revoke_api_key()).then(api_key_revoked())
    revoked.and_again().then_nothing()
    assert revoked.state.status is Status.REVOKED
    given(api_key_issued(), api_key_revoked()).when(suspend_api_key()).then_refused(Invalid, "is revoked")


def test_a_key_is_deleted_in_any_state() -> None:
    for past in ((), (api_key_suspended(),), (api_key_revoked(),)):
        deleted = given(api_key_issued(), *past).when(delete_api_key()).then(api_key_deleted())
        assert deleted.state.status is Status.DELETED
        deleted.and_again().then_refused(NotFound)


@pytest.mark.parametrize("ask", [change_api_key, suspend_api_key, activate_api_key, revoke_api_key, delete_api_key])
def test_nothing_can_be_asked_of_a_key_that_is_not_there(ask: type) -> None:
    given().when(ask()).then_refused(NotFound, "There is no API key notebook")
    given(api_key_issued(), api_key_deleted()).when(ask()).then_refused(NotFound)
