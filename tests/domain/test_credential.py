"""The rules of a credential."""

from typing import Any

import pytest

from domain.credential.credential import Status
from domain.errors import Conflict, Invalid, NotFound
from tests.examples import (
    add_credential,
    change_credential,
    credential_added,
    credential_deleted,
    credential_disabled,
    credential_enabled,
    credential_endpoint_changed,
    credential_renamed,
    credential_secret_changed,
    delete_credential,
    secret_source,
)
from tests.scenario import NOW, given


def test_a_credential_is_added() -> None:
    credential = given().when(add_credential()).then(credential_added()).state
    assert (credential.status, credential.secret.name, credential.created_at) == (Status.ENABLED, "OPENAI_API_KEY", NOW)


def test_a_credential_can_be_added_disabled() -> None:
    assert given().when(add_credential(enabled=False)).then(credential_added(), credential_disabled()).state.status is Status.DISABLED


def test_a_credential_is_added_once() -> None:
    given(credential_added()).when(add_credential()).then_refused(Conflict, "already exists", param="id")
    given(credential_added(), credential_deleted()).when(add_credential()).then(credential_added())


@pytest.mark.parametrize(
    ("said", "kept"), [("azure-openai", "azure_openai"), ("bedrock", "aws_bedrock"), ("openai", "openai"), ("my-own", "my-own")]
)
def test_other_spellings_of_a_type_are_taken_and_unknown_words_kept(said: str, kept: str) -> None:
    given().when(add_credential(credential_type=said)).then(credential_added(credential_type=kept))


def test_a_secret_in_the_environment_has_a_name() -> None:
    nameless = secret_source(name="")
    given().when(add_credential(secret=nameless)).then_refused(Invalid, "no variable is named", param="secret")
    given(credential_added()).when(change_credential(secret=nameless)).then_refused(Invalid, param="secret")


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ({"name": "Other"}, credential_renamed(name="Other")),
        ({"secret": secret_source(source="none", name="")}, credential_secret_changed(secret=secret_source(source="none", name=""))),
        ({"endpoint": None}, credential_endpoint_changed(endpoint=None, deployment="d", header_value="h")),
        ({"deployment": "x"}, credential_endpoint_changed(endpoint="e", deployment="x", header_value="h")),
        ({"enabled": False}, credential_disabled()),
    ],
)
def test_only_what_is_said_changes(said: dict[str, Any], fact: Any) -> None:
    added = credential_added(endpoint="e", deployment="d", header_value="h")
    given(added).when(change_credential(**said)).then(fact).and_again().then_nothing()


def test_a_change_that_changes_nothing_is_no_news() -> None:
    given(credential_added()).when(change_credential()).then_nothing()
    given(credential_added()).when(change_credential(enabled=True, secret=secret_source())).then_nothing()
    given(credential_added(endpoint=None)).when(change_credential(endpoint=None)).then_nothing()


def test_a_credential_is_disabled_and_enabled_again() -> None:
    enabled = given(credential_added(), credential_disabled()).when(change_credential(enabled=True)).then(credential_enabled())
    assert enabled.state.status is Status.ENABLED


def test_a_credential_is_deleted_once() -> None:
    given(credential_added(), credential_disabled()).when(delete_credential()).then(credential_deleted()).and_again().then_refused(NotFound)


@pytest.mark.parametrize("ask", [change_credential, delete_credential])
def test_nothing_can_be_asked_of_a_credential_that_is_not_there(ask: type) -> None:
    given().when(ask()).then_refused(NotFound, "There is no credential openai-default")
