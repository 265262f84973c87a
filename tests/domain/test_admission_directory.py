"""The directory's questions: whose secret this is, which model that is, and which there are."""

from datetime import timedelta

import pytest

from domain.admission.directory import KEY_OF_SECRET, PRICES, Caller, authenticate, budgets_of, find_model, permitted, visible_models
from domain.api_key import events as api_key
from domain.api_key.events import Permissions, Specific
from domain.budget.events import BudgetClosed, BudgetScopeChanged, Scope
from domain.errors import Forbidden, NotFound, Unauthenticated, Unreadable
from domain.ids import ApiKeyId, TeamId
from domain.kernel import UnknownEvent
from domain.model.events import ModelRetired
from domain.team.events import TeamSuspended
from tests.domain.gateway import Gateway
from tests.scenario import NOW

ONLY_M = Permissions(models=Specific(specific=frozenset({"m"})))


@pytest.fixture
def gateway() -> Gateway:
    return Gateway().furnished()


def caller(gateway: Gateway, key: str = "k") -> Caller:
    return authenticate(gateway.view, f"secret of {key}", gateway.at)


def test_a_secret_says_who_calls(gateway: Gateway) -> None:
    gateway.add_key("boss", permissions=Permissions(admin=True))
    assert caller(gateway) == Caller(ApiKeyId("k"), TeamId("t"), Permissions())
    assert caller(gateway, "boss").admin


def test_an_unknown_secret_is_nobodys(gateway: Gateway) -> None:
    with pytest.raises(Unauthenticated, match="Incorrect API key provided"):
        caller(gateway, "nobody")


def test_keys_and_teams_that_are_not_active_may_not_call(gateway: Gateway) -> None:
    gateway.add_key("short", expires_at=NOW + timedelta(hours=1))
    gateway.add_key("gone")
    gateway.happened("api-key/gone", api_key.ApiKeyDeleted())
    gateway.later(hours=1)
    for key in ("short", "gone"):
        with pytest.raises(Unauthenticated):
            caller(gateway, key)
    gateway.happened("team/t", TeamSuspended())
    with pytest.raises(Forbidden, match="suspended"):
        caller(gateway)


def test_a_key_that_can_not_be_read_may_call_later(gateway: Gateway) -> None:
    gateway.happened("api-key/k", UnknownEvent(unknown_topic="api_key.rotated.v1"))
    with pytest.raises(Unreadable):
        caller(gateway)


def test_an_id_that_was_issued_again_has_the_new_secret_alone(gateway: Gateway) -> None:
    gateway.happened("api-key/k", api_key.ApiKeyDeleted())
    gateway.add_key("k", secret_sha256="secret of another")
    assert caller(gateway, "another").api_key_id == "k"
    with pytest.raises(Unauthenticated):
        caller(gateway)


def test_a_secret_that_moved_to_another_id_stays_there(gateway: Gateway) -> None:
    gateway.happened("api-key/k", api_key.ApiKeyDeleted())
    gateway.add_key("heir", secret_sha256="secret of k")
    gateway.add_key("k", secret_sha256="secret of another")
    assert gateway.view.get(KEY_OF_SECRET, "secret of k") == "heir"


def test_permissions_are_all_none_or_those_named() -> None:
    assert permitted(Permissions(), "m")
    assert permitted(ONLY_M, "m")
    assert not permitted(ONLY_M, "n")
    assert not permitted(Permissions(models="none"), "m")


def test_a_model_is_found_by_those_who_may_use_it(gateway: Gateway) -> None:
    gateway.add_key("some", permissions=ONLY_M)
    assert find_model(gateway.view, caller(gateway, "some"), "m", gateway.at).content.name == "M"
    with pytest.raises(Forbidden, match="not allowed"):
        find_model(gateway.view, caller(gateway, "some"), "n", gateway.at)
    with pytest.raises(NotFound, match="The model `gpt-9` does not exist or you do not have access to it"):
        find_model(gateway.view, caller(gateway, "some"), "gpt-9", gateway.at)


def test_visible_models_are_those_that_can_be_called(gateway: Gateway) -> None:
    gateway.add_model("a")
    gateway.add_model("off", enabled=False)
    gateway.happened("model/n", ModelRetired())
    gateway.add_key("some", permissions=ONLY_M)
    assert [model_id for model_id, _ in visible_models(gateway.view, caller(gateway))] == ["a", "m"]
    assert [model_id for model_id, _ in visible_models(gateway.view, caller(gateway, "some"))] == ["m"]


def test_budgets_are_found_by_whom_they_bind(gateway: Gateway) -> None:
    gateway.open_budget("z")
    gateway.open_budget("a", team_ids=frozenset({"t"}), api_key_ids=frozenset({"k", "k2"}))
    gateway.open_budget("other", team_ids=frozenset({"u"}))
    assert budgets_of(gateway.view, "k", "t") == ("a", "z")
    assert budgets_of(gateway.view, "k2", "v") == ("a", "z")
    assert budgets_of(gateway.view, "k3", "v") == ("z",)
    gateway.happened("budget/a", BudgetScopeChanged(scope=Scope(team_ids=frozenset({"v"}))))
    gateway.happened("budget/z", BudgetClosed())
    assert budgets_of(gateway.view, "k", "t") == ()
    assert budgets_of(gateway.view, "k", "v") == ("a",)


def test_prices_are_never_forgotten(gateway: Gateway) -> None:
    gateway.price_model("m", {}, number=2)
    gateway.happened("model/m", ModelRetired())
    assert [gateway.view.get(PRICES, name) is not None for name in ("m.1", "m.2", "n.1", "n.2")] == [True, True, True, False]
