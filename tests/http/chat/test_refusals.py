"""Requests that are refused: the right status, OpenAI's envelope, and nothing recorded."""

import io
from typing import Any

import orjson
import pytest

from domain.api_key.events import Permissions, RateLimits, Specific
from domain.budget.events import AtLimit
from tests.http.chat.conftest import OUTPUT_NANOS, PATH, Desk


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"temperature": 2.5}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
async def test_a_wrong_field_is_named(desk: Desk, changes: dict[str, Any], param: str) -> None:
    answer = await desk.ask(**changes)
    assert (answer.status, answer.error["type"], answer.error["param"]) == (400, "invalid_request_error", param)
    assert not desk.provider.received
    assert await desk.admissions() == []


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a": "\xff"}', b'{"a":' * 50_000, b"[" * 200 + b"]" * 200])
async def test_a_body_that_is_no_json_says_so(desk: Desk, raw: bytes) -> None:
    answer = await desk.gateway.ask("POST", PATH, raw, secret=desk.secret)
    assert answer.status == 400
    assert answer.error["code"] in ("json_parse_error", None)


async def test_a_nesting_bomb_is_refused_before_anything_is_recorded(desk: Desk) -> None:
    bomb: Any = 1
    for _ in range(200):
        bomb = {"a": bomb}
    answer = await desk.ask(metadata=bomb)
    assert (answer.status, answer.error["code"]) == (400, "json_parse_error")
    assert await desk.admissions() == []


async def test_the_body_must_be_said_to_be_json(desk: Desk) -> None:
    answer = await desk.gateway.ask("POST", PATH, desk.body(), secret=desk.secret, headers={"Content-Type": "text/plain"})
    assert answer.status == 415
    assert answer.error["type"] == "invalid_request_error"
    answer = await desk.gateway.ask(
        "POST", PATH, desk.body(), secret=desk.secret, headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )
    assert answer.status == 200


async def test_a_body_beyond_the_limit_is_too_large(desk: Desk) -> None:
    body = io.BytesIO(b'{"a":"' + b"x" * (33 * 1024 * 1024) + b'"}')
    async with desk.gateway.session.post(desk.gateway.url.with_path(PATH), data=body, headers=desk.headers) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["type"] == "invalid_request_error"


async def test_operations_do_not_exist_yet(desk: Desk) -> None:
    answer = await desk.gateway.ask("POST", f"{PATH}?async=true", desk.body(), secret=desk.secret)
    assert (answer.status, answer.error["param"]) == (400, "async")
    assert "async" in answer.error["message"]
    assert (await desk.gateway.ask("POST", f"{PATH}?async=false", desk.body(), secret=desk.secret)).status == 200


@pytest.mark.parametrize("name", ["unknown-model", "a/b/c", "x" * 10_000, "../admin", "émile", " ", "a\nb"])
async def test_an_unknown_model_is_not_found(desk: Desk, name: str) -> None:
    answer = await desk.ask(model=name)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
    assert len(answer.error["message"]) < 300
    assert await desk.admissions() == []


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer pk_test_nobody-has-this-key"}, {"Authorization": "Basic eDp5"}])
async def test_without_a_known_key_nothing_is_asked(desk: Desk, headers: dict[str, str]) -> None:
    answer = await desk.gateway.ask("POST", PATH, desk.body(), secret=None, headers=headers)
    assert (answer.status, answer.error["type"]) == (401, "authentication_error")


async def test_a_key_may_use_only_its_models(desk: Desk) -> None:
    secret = await desk.issue_key(f"{desk.name}-narrow", permissions=Permissions(models=Specific(specific=frozenset({"another"}))))
    answer = await desk.gateway.ask("POST", PATH, desk.body(), secret=secret)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (403, "permission_error", "model_not_allowed")


async def test_the_models_of_a_key_are_listed_and_shown(desk: Desk) -> None:
    await desk.publish(f"{desk.name}-off", enabled=False)
    listed = await desk.gateway.done("GET", "/v1/models", secret=desk.secret)
    ids = [model["id"] for model in listed["data"]]
    assert listed["object"] == "list"
    assert desk.name in ids
    assert f"{desk.name}-off" not in ids
    shown = await desk.gateway.done("GET", f"/v1/models/{desk.name}", secret=desk.secret)
    assert shown in listed["data"]
    assert (shown["object"], shown["owned_by"], type(shown["created"])) == ("model", "openai_compatible", int)


@pytest.mark.parametrize("name", ["unknown-model", "a/b", "a%2Fb", "x" * 5_000])
async def test_a_model_that_is_not_there_is_not_shown(desk: Desk, name: str) -> None:
    answer = await desk.gateway.ask("GET", f"/v1/models/{name}", secret=desk.secret)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


async def test_a_model_that_a_key_may_not_use_is_as_good_as_not_there(desk: Desk) -> None:
    secret = await desk.issue_key(f"{desk.name}-none", permissions=Permissions(models="none"))
    assert (await desk.gateway.ask("GET", f"/v1/models/{desk.name}", secret=secret)).status == 404
    assert (await desk.gateway.done("GET", "/v1/models", secret=secret))["data"] == []


async def test_a_rate_limit_is_told_in_headers_and_kept(desk: Desk) -> None:
    secret = await desk.issue_key(f"{desk.name}-slow", rate_limits=RateLimits(requests_per_minute=2))
    answers = [await desk.gateway.ask("POST", PATH, desk.body(), secret=secret) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"2"}
    refused = answers[-1]
    assert (refused.error["type"], refused.error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert 1 <= int(refused.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 61


async def test_an_exhausted_budget_refuses_and_is_named(desk: Desk) -> None:
    budget = await desk.open_budget(1_000, AtLimit.REJECT)
    answer = await desk.ask()
    assert (answer.status, answer.error["type"], answer.error["code"]) == (429, "insufficient_quota", "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert budget in answer.error["message"]
    assert not desk.provider.received


async def test_a_budget_that_clamps_shortens_the_answer_and_says_so(desk: Desk) -> None:
    await desk.open_budget(8 * 300 * OUTPUT_NANOS, AtLimit.CLAMP)
    answer = await desk.ask()
    cap = int(answer.headers["x-gateway-max-tokens"])
    assert 256 <= cap < 300
    assert desk.provider.received[0].body["max_tokens"] == cap


async def test_the_envelope_has_all_its_keys_whatever_was_sent(desk: Desk) -> None:
    for raw in (b"null", b"[]", orjson.dumps({"model": {}}), orjson.dumps(desk.body(stop=5))):
        assert (await desk.gateway.ask("POST", PATH, raw, secret=desk.secret)).error["message"]
