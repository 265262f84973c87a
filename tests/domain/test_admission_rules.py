"""Who may call what: each rule of admission, refused and passed."""

from datetime import timedelta
from typing import Any

import pytest

from domain.api_key import events as api_key
from domain.api_key.events import Permissions, RateLimits, Specific
from domain.budget.events import BudgetDisabled
from domain.completion.commands import RecoverCompletion
from domain.completion.events import CompletionAdmitted, RouteStep
from domain.credential.events import CredentialDeleted
from domain.errors import Conflict, Forbidden, Invalid, NotFound, RateLimited, Refusal, Unauthenticated, Unreadable
from domain.kernel import Event, UnknownEvent
from domain.model.events import ModelContent, ModelPublished, ModelRetired
from domain.team.events import TeamActivated, TeamDeleted, TeamSuspended
from tests.domain.gateway import Gateway, made
from tests.scenario import NOW


@pytest.fixture
def gateway() -> Gateway:
    return Gateway().furnished()


def refused(gateway: Gateway, kind: type[Refusal], code: str | None = None, **asked: Any) -> Refusal:
    before = len(gateway.events)
    with pytest.raises(kind) as refusal:
        gateway.admit(**asked)
    assert len(gateway.events) == before
    assert refusal.value.code == code
    return refusal.value


def test_an_admission_says_all_there_is_to_know(gateway: Gateway) -> None:
    gateway.happened("api-key/k", api_key.ApiKeyDescribed(name="K", tags={"cost-centre": "4711", "tier": "a"}))
    admitted = gateway.admit(image_count=2, choices=3, output_cap=50, stream=True, tags={"tier": "b"}, end_user="u", request_digest="d")
    assert admitted == CompletionAdmitted(
        owner="p",
        api_key_id="k",
        team_id="t",
        model_id="m",
        end_user="u",
        tags={"cost-centre": "4711", "tier": "b"},
        stream=True,
        prompt_tokens_bound=100 + 2 * 2_048,
        image_count=2,
        output_cap=50,
        output_cap_chosen=False,
        choices=3,
        route=(RouteStep(model_id="m", model_version=1, price_id="m.1"),),
        request_digest="d",
    )


def test_a_completion_is_admitted_once(gateway: Gateway) -> None:
    gateway.admit("c")
    refused(gateway, Conflict, completion_id="c")
    gateway.settle("c")
    refused(gateway, Conflict, completion_id="c")


def test_an_unknown_key_is_refused(gateway: Gateway) -> None:
    refused(gateway, Unauthenticated, "invalid_api_key", api_key_id="nobody")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (api_key.ApiKeySuspended(), "suspended"),
        (api_key.ApiKeyRevoked(), "revoked"),
        (api_key.ApiKeyDeleted(), "Incorrect"),
        (api_key.ApiKeyExpiryChanged(expires_at=NOW), "expired"),
    ],
)
def test_a_key_that_is_not_active_is_refused(gateway: Gateway, event: Event, said: str) -> None:
    gateway.happened("api-key/k", event)
    assert said in refused(gateway, Unauthenticated, "invalid_api_key").message


def test_a_key_works_until_it_expires(gateway: Gateway) -> None:
    gateway.happened("api-key/k", api_key.ApiKeyExpiryChanged(expires_at=NOW + timedelta(seconds=1)))
    gateway.admit()
    gateway.later(seconds=1)
    refused(gateway, Unauthenticated, "invalid_api_key")


def test_a_suspended_team_stops_its_keys_until_it_is_activated(gateway: Gateway) -> None:
    gateway.happened("team/t", TeamSuspended())
    refused(gateway, Forbidden, "team_suspended")
    gateway.happened("team/t", TeamActivated())
    gateway.admit()


def test_keys_of_a_deleted_team_are_no_keys(gateway: Gateway) -> None:
    gateway.happened("team/t", TeamDeleted())
    refused(gateway, Unauthenticated, "invalid_api_key")


def test_an_unknown_model_is_not_found(gateway: Gateway) -> None:
    assert "`gpt-9`" in refused(gateway, NotFound, "model_not_found", model_id="gpt-9").message


def test_a_retired_or_disabled_model_is_not_found(gateway: Gateway) -> None:
    gateway.add_model("off", enabled=False)
    gateway.happened("model/n", ModelRetired())
    refused(gateway, NotFound, "model_not_found", model_id="off")
    refused(gateway, NotFound, "model_not_found", model_id="n")


def test_each_step_of_a_route_must_be_there(gateway: Gateway) -> None:
    refused(gateway, NotFound, "model_not_found", route=("m", "gone"))


def test_a_model_that_the_key_does_not_name_is_not_allowed(gateway: Gateway) -> None:
    gateway.add_key("some", permissions=Permissions(models=Specific(specific=frozenset({"m"}))))
    gateway.add_key("none", permissions=Permissions(models="none"))
    gateway.admit(api_key_id="some")
    refused(gateway, Forbidden, "model_not_allowed", api_key_id="some", model_id="n")
    refused(gateway, Forbidden, "model_not_allowed", api_key_id="none")


def test_an_unknown_model_is_not_found_even_where_none_is_allowed(gateway: Gateway) -> None:
    gateway.add_key("none", permissions=Permissions(models="none"))
    refused(gateway, NotFound, "model_not_found", api_key_id="none", model_id="gpt-9")


@pytest.mark.parametrize("stream", ["api-key/k", "team/t", "model/m", "credential/c", "budget/b", "budget/never-seen"])
def test_what_a_newer_gateway_changed_is_refused_for_the_time_being(gateway: Gateway, stream: str) -> None:
    gateway.open_budget("b")
    gateway.happened(stream, UnknownEvent(unknown_topic="a.b.v9"))
    refused(gateway, Unreadable)


def test_an_unreadable_budget_binds_even_if_it_was_switched_off(gateway: Gateway) -> None:
    gateway.open_budget("b")
    gateway.happened("budget/b", BudgetDisabled())
    gateway.admit()
    gateway.happened("budget/b", UnknownEvent(unknown_topic="budget.enabled.v2"))
    refused(gateway, Unreadable)


def test_an_unreadable_budget_of_another_team_disturbs_nobody(gateway: Gateway) -> None:
    gateway.open_budget("b", team_ids=frozenset({"u"}))
    gateway.happened("budget/b", UnknownEvent(unknown_topic="budget.paused.v1"))
    gateway.admit()


def test_whether_the_credential_is_still_there_is_seen_when_the_model_is_called(gateway: Gateway) -> None:
    gateway.happened("credential/c", CredentialDeleted())
    gateway.admit()


def test_an_unknown_price_is_refused_where_a_budget_applies(gateway: Gateway) -> None:
    gateway.add_model("unpriced", priced=False)
    gateway.open_budget("b")
    assert "unpriced" in refused(gateway, Invalid, "price_unknown", model_id="unpriced").message


def test_an_unknown_price_of_any_step_is_unknown(gateway: Gateway) -> None:
    gateway.add_model("unpriced", priced=False)
    gateway.open_budget("b")
    refused(gateway, Invalid, "price_unknown", route=("m", "unpriced"))


def test_an_unknown_price_is_admitted_where_no_budget_applies_and_costs_nobody_knows_what(gateway: Gateway) -> None:
    gateway.add_model("unpriced", priced=False)
    gateway.open_budget("b", model_ids=frozenset({"m"}))
    admitted = gateway.admit("c", model_id="unpriced")
    assert (admitted.holds, admitted.route[0].price_id) == ((), None)
    assert gateway.settled("c", made(model_id="unpriced", input=5)).cost_nanos is None


def test_a_prompt_that_no_model_takes_is_invalid(gateway: Gateway) -> None:
    gateway.happened("model/m", ModelPublished(version=2, content=content(image_tokens_max=10_000_000)))
    refused(gateway, Invalid, image_count=1_000)


def content(**changes: Any) -> ModelContent:
    return ModelContent(**({"name": "M", "provider": "openai", "provider_model": "m", "credential_id": "c"} | changes))


# Rates


def limited(**limits: int) -> Gateway:
    gateway = Gateway().furnished()
    gateway.happened("api-key/k", api_key.ApiKeyRateLimitsChanged(rate_limits=RateLimits(**limits)))
    return gateway


@pytest.mark.parametrize(
    ("limit", "length", "bucket"),
    [
        ("requests_per_minute", timedelta(minutes=1), timedelta(seconds=1)),
        ("requests_per_hour", timedelta(hours=1), timedelta(minutes=1)),
        ("requests_per_day", timedelta(days=1), timedelta(hours=1)),
    ],
)
def test_requests_are_limited_in_a_sliding_window(limit: str, length: timedelta, bucket: timedelta) -> None:
    gateway = limited(**{limit: 2})
    gateway.admit()
    gateway.at += bucket
    gateway.admit()
    refusal = refused(gateway, RateLimited, "rate_limit_exceeded")
    assert isinstance(refusal, RateLimited)
    assert (refusal.limit, refusal.retry_after) == (limit, length - bucket)
    gateway.at += length - bucket - timedelta(microseconds=1)
    refused(gateway, RateLimited, "rate_limit_exceeded")
    gateway.later(microseconds=1)
    gateway.admit()
    refused(gateway, RateLimited, "rate_limit_exceeded")


def test_a_settlement_gives_no_request_back() -> None:
    gateway = limited(requests_per_minute=1)
    gateway.admit("c")
    gateway.settle("c")
    refused(gateway, RateLimited, "rate_limit_exceeded")


def test_parallel_requests_are_the_open_completions_of_the_key() -> None:
    gateway = limited(parallel_requests=2)
    gateway.add_key("other")
    gateway.admit("c1")
    gateway.admit("c2")
    gateway.admit("c3", api_key_id="other")
    refusal = refused(gateway, RateLimited, "rate_limit_exceeded")
    assert isinstance(refusal, RateLimited)
    assert refusal.limit == "parallel_requests"
    gateway.settle("c3")
    refused(gateway, RateLimited, "rate_limit_exceeded")
    gateway.settle("c1")
    gateway.admit("c4")


def test_what_was_open_before_the_limit_counts_as_parallel() -> None:
    gateway = Gateway().furnished()
    gateway.admit()
    gateway.happened("api-key/k", api_key.ApiKeyRateLimitsChanged(rate_limits=RateLimits(parallel_requests=1)))
    refused(gateway, RateLimited, "rate_limit_exceeded")


def test_tokens_are_counted_at_their_bound_until_settlement_says_what_was_used() -> None:
    gateway = limited(tokens_per_minute=1_000)
    assert gateway.admit("c1", output_cap=300).rate_weight_tokens == 400
    gateway.admit("c2", output_cap=300)
    refused(gateway, RateLimited, "rate_limit_exceeded", output_cap=300)
    gateway.later(seconds=5)
    gateway.settle("c1", made(input=60, output=40))
    gateway.admit("c3", output_cap=300)
    refused(gateway, RateLimited, "rate_limit_exceeded", output_cap=10)


def test_tokens_of_a_recovered_completion_stay_counted_at_their_bound() -> None:
    gateway = limited(tokens_per_minute=1_000)
    gateway.admit("c1", output_cap=800)
    gateway.ask(RecoverCompletion(completion_id="c1"))
    refused(gateway, RateLimited, "rate_limit_exceeded", output_cap=10)


def test_tokens_used_are_those_of_all_attempts_and_requests_are_no_tokens() -> None:
    gateway = limited(tokens_per_minute=1_000)
    gateway.admit("c1", output_cap=400)
    gateway.settle("c1", made(input=300, request=1), made(input=300, cached_input=100, output=200))
    refused(gateway, RateLimited, "rate_limit_exceeded", output_cap=1)
    gateway.admit("c2", prompt_text_tokens_bound=99, output_cap=1)


def test_tokens_of_choices_and_images_count() -> None:
    gateway = limited(tokens_per_minute=5_000)
    assert gateway.admit(image_count=1, choices=2, output_cap=300).rate_weight_tokens == 100 + 2_048 + 600


def test_a_request_larger_than_the_limit_is_told_so() -> None:
    gateway = limited(tokens_per_minute=1_000)
    refusal = refused(gateway, RateLimited, "rate_limit_exceeded", output_cap=1_000)
    assert isinstance(refusal, RateLimited)
    assert "1100 tokens" in refusal.message
    assert refusal.retry_after == timedelta(minutes=1)


def test_without_a_limit_tokens_carry_no_weight(gateway: Gateway) -> None:
    assert gateway.admit().rate_weight_tokens == 0


def test_an_admission_before_the_limit_is_not_given_back_after_it() -> None:
    """Else its settlement would take from the window what it never put there."""
    gateway = Gateway().furnished()
    gateway.admit("c1")
    gateway.happened("api-key/k", api_key.ApiKeyRateLimitsChanged(rate_limits=RateLimits(tokens_per_minute=500)))
    gateway.admit("c2", output_cap=400)
    gateway.settle("c1", made(input=1))
    refused(gateway, RateLimited, "rate_limit_exceeded", output_cap=1)


def test_what_is_wrong_is_looked_at_in_a_fixed_order(gateway: Gateway) -> None:
    gateway.add_key("all-wrong", permissions=Permissions(models="none"), rate_limits=RateLimits(requests_per_minute=1), team_id="u")
    gateway.add_team("u")
    gateway.add_model("unpriced", priced=False)
    gateway.open_budget("b", 1, team_ids=frozenset({"u"}))
    asked: dict[str, Any] = {"api_key_id": "all-wrong", "model_id": "unpriced"}
    gateway.happened("api-key/all-wrong", api_key.ApiKeySuspended())
    gateway.happened("team/u", TeamSuspended())
    refused(gateway, Unauthenticated, "invalid_api_key", **asked)
    gateway.happened("api-key/all-wrong", api_key.ApiKeyActivated())
    refused(gateway, Forbidden, "team_suspended", **asked)
    gateway.happened("team/u", TeamActivated())
    refused(gateway, Forbidden, "model_not_allowed", **asked)
    gateway.happened("api-key/all-wrong", api_key.ApiKeyPermissionsChanged(permissions=Permissions()))
    refused(gateway, Invalid, "price_unknown", **asked)
