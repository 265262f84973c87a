"""The admin routes against bad input: each is refused in the right shape, and nothing is recorded."""

from io import BytesIO
from typing import Any

import pytest

from tests.http.conftest import ADMIN_SECRET, MEMBER_SECRET, Gateway

LONG_ID = "x" * 10_000
BOMB = b'{"id":' * 100_000

TEAM = {"id": "never-made", "name": "Never made"}
KEY = {"name": "Never made", "permissions": {"models": "all"}}
MODEL = {"id": "never-made", "name": "M", "provider": "openai", "provider_model": "gpt-4o", "credential_id": "nowhere"}
BUDGET = {"id": "never-made", "name": "B", "period": "monthly", "hard_limit_usd": 10}
CREDENTIAL = {"id": "never-made", "name": "C", "credential_type": "openai", "api_key_env": "OPENAI_API_KEY"}

CREATIONS = {
    "/admin/teams": TEAM,
    "/admin/api-keys": KEY,
    "/admin/models": MODEL,
    "/admin/budgets": BUDGET,
    "/admin/credentials": CREDENTIAL,
}

Bad = tuple[str, str, Any, int, str | None]

BAD_ANYWHERE: list[Bad] = [
    ("POST", path, body, 400, None)
    for path in CREATIONS
    for body in (b"{", b'{"name": "\xff"}', BOMB, b"[]", b"7", b"null", b'{"name": NaN}', b'{"name": "\\ud800"}')
]

BAD_FIELDS: list[Bad] = [
    ("POST", "/admin/teams", {}, 400, "id"),
    ("POST", "/admin/teams", TEAM | {"name": ""}, 400, "name"),
    ("POST", "/admin/teams", TEAM | {"name": "x" * 101}, 400, "name"),
    ("POST", "/admin/teams", TEAM | {"name": 7}, 400, "name"),
    ("POST", "/admin/teams", TEAM | {"name": "a\0b"}, 400, "name"),
    ("POST", "/admin/teams", TEAM | {"id": "a/b"}, 400, "id"),
    ("POST", "/admin/teams", TEAM | {"id": LONG_ID}, 400, "id"),
    ("POST", "/admin/teams", TEAM | {"id": "-a"}, 400, "id"),
    ("POST", "/admin/teams", TEAM | {"id": None}, 400, "id"),
    ("POST", "/admin/teams", {"team_id": "never-made", "name": "Never made"}, 400, "id"),
    ("POST", "/admin/teams", TEAM | {"description": {}}, 400, "description"),
    ("POST", "/admin/teams", TEAM | {"id": "administrators"}, 409, "id"),
    ("PUT", "/admin/teams/never-made", {"name": "x"}, 404, None),
    ("PUT", "/admin/teams/administrators", {"name": ""}, 400, "name"),
    ("DELETE", "/admin/teams/administrators", None, 400, None),
    ("POST", "/admin/teams/administrators/suspend", None, 400, None),
    ("POST", "/admin/teams/administrators/activate", None, 400, None),
    ("DELETE", "/admin/teams/never-made", None, 404, None),
    ("POST", "/admin/api-keys", {"name": "n"}, 400, "permissions"),
    ("POST", "/admin/api-keys", {"permissions": {}}, 400, "name"),
    ("POST", "/admin/api-keys", KEY | {"permissions": "all"}, 400, "permissions"),
    ("POST", "/admin/api-keys", KEY | {"permissions": {"models": "some"}}, 400, "permissions"),
    ("POST", "/admin/api-keys", KEY | {"permissions": {"models": {"specific": "gpt"}}}, 400, "permissions"),
    ("POST", "/admin/api-keys", KEY | {"permissions": {"admin": "yes"}}, 400, "permissions"),
    ("POST", "/admin/api-keys", KEY | {"team_id": "never-made"}, 400, "team_id"),
    ("POST", "/admin/api-keys", KEY | {"expires_at": "2020-01-01T00:00:00Z"}, 400, "expires_at"),
    ("POST", "/admin/api-keys", KEY | {"expires_at": "soon"}, 400, "expires_at"),
    ("POST", "/admin/api-keys", KEY | {"rate_limits": {"requests_per_minute": -1}}, 400, "rate_limits"),
    ("POST", "/admin/api-keys", KEY | {"rate_limits": {"requests_per_minute": 1.5}}, 400, "rate_limits"),
    ("POST", "/admin/api-keys", b'{"name":"n","permissions":{},"rate_limits":{"requests_per_minute":1' + b"0" * 30 + b"}}", 400, None),
    ("POST", "/admin/api-keys", KEY | {"tags": {"a": 1}}, 400, "tags"),
    ("POST", "/admin/api-keys", KEY | {"id": "a b"}, 400, "id"),
    ("POST", "/admin/api-keys", KEY | {"id": "admin"}, 409, "id"),
    ("POST", "/admin/api-keys/never-made/suspend", None, 404, None),
    ("POST", "/admin/api-keys/admin/activate", None, 400, None),
    ("PUT", "/admin/api-keys/never-made", {"permissions": {}}, 404, None),
    ("DELETE", "/admin/api-keys/never-made", None, 404, None),
    ("POST", "/admin/models", MODEL, 400, "credential_id"),
    ("POST", "/admin/models", MODEL | {"config": {"temperature": 3}}, 400, "config"),
    ("POST", "/admin/models", MODEL | {"config": {"max_tokens": 0}}, 400, "config"),
    ("POST", "/admin/models", MODEL | {"max_output_tokens": -5}, 400, "max_output_tokens"),
    ("POST", "/admin/models", MODEL | {"price": "cheap"}, 400, "price"),
    ("POST", "/admin/models", MODEL | {"price": {"input_usd_per_million": 1}}, 400, "price"),
    ("POST", "/admin/models", MODEL | {"price": {"input_usd_per_million": -1, "output_usd_per_million": 1}}, 400, "price"),
    ("PUT", "/admin/models/never-made", {"name": "x"}, 404, None),
    ("DELETE", "/admin/models/never-made", None, 404, None),
    ("POST", "/admin/budgets", BUDGET | {"hard_limit_usd": 0}, 400, "hard_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"hard_limit_usd": -10}, 400, "hard_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"hard_limit_usd": "10"}, 400, "hard_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"hard_limit_usd": True}, 400, "hard_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"hard_limit_usd": None}, 400, "hard_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"hard_limit_usd": 1e300}, 400, "hard_limit_usd"),
    ("POST", "/admin/budgets", b'{"id":"never-made","name":"B","period":"daily","hard_limit_usd":0.0000000001}', 400, "hard_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"soft_limit_usd": 10}, 400, "soft_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"soft_limit_usd": 11}, 400, "soft_limit_usd"),
    ("POST", "/admin/budgets", BUDGET | {"period": "yearly"}, 400, "period"),
    ("POST", "/admin/budgets", BUDGET | {"time_zone": "Mars/Base"}, 400, "time_zone"),
    ("POST", "/admin/budgets", BUDGET | {"at_limit": "explode"}, 400, "at_limit"),
    ("POST", "/admin/budgets", BUDGET | {"alert_thresholds": ["50"]}, 400, "alert_thresholds"),
    ("POST", "/admin/budgets", BUDGET | {"team_ids": "a"}, 400, "team_ids"),
    ("PUT", "/admin/budgets/never-made", {"name": "x"}, 404, None),
    ("POST", "/admin/budgets/never-made/reset", None, 404, None),
    ("DELETE", "/admin/budgets/never-made", None, 404, None),
    ("POST", "/admin/budgets/check", {"estimated_cost_usd": 1}, 400, "api_key_id"),
    ("POST", "/admin/budgets/check", {"api_key_id": "k", "estimated_cost_usd": "1"}, 400, "estimated_cost_usd"),
    ("POST", "/admin/credentials", {"id": "never-made", "name": "C", "credential_type": "openai"}, 400, "api_key"),
    ("POST", "/admin/credentials", CREDENTIAL | {"api_key": "sk-a-secret-in-a-body"}, 400, "api_key"),
    ("POST", "/admin/credentials", CREDENTIAL | {"api_key_env": "DATABASE_URL"}, 400, "api_key_env"),
    ("POST", "/admin/credentials", CREDENTIAL | {"api_key_env": "ADMIN_API_KEY"}, 400, "api_key_env"),
    ("DELETE", "/admin/credentials/never-made", None, 404, None),
    ("GET", "/admin/events?limit=0", None, 400, "limit"),
    ("GET", "/admin/events?limit=1001", None, 400, "limit"),
    ("GET", "/admin/events?limit=x", None, 400, "limit"),
    ("GET", "/admin/events?after=-1", None, 400, "after"),
    ("GET", "/admin/events?after=99999999999999999999", None, 400, "after"),
    ("GET", "/admin/events?from=yesterday", None, 400, "from"),
    ("GET", "/admin/events?stream=%00", None, 400, "stream"),
    ("GET", f"/admin/events?by={'x' * 501}", None, 400, "by"),
    ("GET", "/admin/events?limit=%C2%B2", None, 400, "limit"),
    ("GET", "/admin/budgets/a%2Fb/holds", None, 400, "id"),
    ("GET", "/admin/budgets/not-there/holds?limit=0", None, 404, None),
    ("GET", "/admin/usage?limit=x", None, 400, "limit"),
    ("GET", "/admin/usage?limit=0", None, 400, "limit"),
    ("GET", "/admin/usage?offset=-1", None, 400, "offset"),
    ("GET", "/admin/usage?after=yesterday", None, 400, "after"),
    ("GET", "/admin/usage?from_timestamp=1.5", None, 400, "from_timestamp"),
    ("GET", "/admin/usage/aggregate?to_timestamp=-1", None, 400, "to_timestamp"),
    ("GET", "/admin/usage/aggregate?to_timestamp=18446744073709551616", None, 400, "to_timestamp"),
    ("GET", "/admin/usage/summary?model_id=%00", None, 400, "model_id"),
    ("DELETE", "/admin/usage", None, 400, "before_timestamp"),
    ("DELETE", "/admin/usage?before_timestamp=soon", None, 400, "before_timestamp"),
    ("GET", "/admin/completions/01981a2b-0000-7000-8000-000000000001", None, 404, None),
    ("GET", "/admin/completions/a%2Fb", None, 400, "id"),
    ("GET", "/admin/completions?status=lost", None, 400, "status"),
    ("GET", "/admin/completions?limit=1001", None, 400, "limit"),
    ("GET", "/admin/completions?after=5", None, 400, "after"),
    ("GET", "/admin/completions?from=then", None, 400, "from"),
    ("GET", "/admin/budgets/not-there/holds?generation=-1", None, 404, None),
]

THINGS = ("teams", "api-keys", "models", "budgets", "credentials")

BAD_IDS: list[Bad] = [
    (method, f"/admin/{thing}/{identity}", body, status, param)
    for thing in THINGS
    for method, body in (("GET", None), ("PUT", {"name": "x"}), ("DELETE", None))
    for identity, status, param in (
        (LONG_ID, 400, "id"),
        ("a%2Fb", 400, "id"),
        ("%FF", 400, "id"),
        ("%00", 400, "id"),
        ("not-there", 404, None),
    )
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"), [*BAD_ANYWHERE, *BAD_FIELDS, *BAD_IDS], ids=lambda value: repr(value)[:60]
)
async def test_bad_input_is_refused_and_not_recorded(
    gateway: Gateway, method: str, path: str, body: Any, status: int, param: str | None
) -> None:
    position = gateway.log.position
    answer = await gateway.ask(method, path, body)
    assert answer.status == status, answer.raw
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.error["message"]
    assert answer.error["param"] == param
    await gateway.log.catch_up()
    assert gateway.log.position == position
    assert len(answer.raw) < 1_000


PROTECTED = [
    *(("GET", f"/admin/{thing}") for thing in (*THINGS, "events", "usage", "usage/aggregate", "usage/summary", "completions")),
    ("DELETE", "/admin/usage"),
    ("GET", "/admin/completions/some-id"),
    ("GET", "/admin/budgets/some-id/holds"),
    *(("POST", f"/admin/{thing}") for thing in THINGS),
    *((method, f"/admin/{thing}/some-id") for thing in THINGS for method in ("GET", "PUT", "DELETE")),
    ("POST", "/admin/teams/some-id/suspend"),
    ("POST", "/admin/api-keys/some-id/revoke"),
    ("POST", "/admin/budgets/some-id/reset"),
    ("POST", "/admin/budgets/check"),
    ("GET", "/admin/budgets/by-team/some-id"),
    ("GET", "/admin/credentials/providers"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_without_an_admin_key_nothing_is_told_and_nothing_done(gateway: Gateway, method: str, path: str) -> None:
    position = gateway.log.position
    for secret in (None, "", "no-such-form", "pk_test_unknown-but-well-formed", "pk_test_short", f"pk_test_{'x' * 10_000}"):
        answer = await gateway.ask(method, path, {"id": "made-by-nobody"}, secret=secret)
        assert (answer.status, answer.error["type"]) == (401, "authentication_error")
        assert "API key" in answer.error["message"]
    answer = await gateway.ask(method, path, {"id": "made-by-nobody"}, secret=MEMBER_SECRET)
    assert (answer.status, answer.error["type"]) == (403, "permission_error")
    assert gateway.log.position == position


@pytest.mark.parametrize("path", CREATIONS)
async def test_a_body_of_another_type_is_415(gateway: Gateway, path: str) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await gateway.ask("POST", path, b'{"id": "x"}', headers={"Content-Type": content_type})
        assert (answer.status, answer.error["type"]) == (415, "invalid_request_error")


async def test_a_body_over_32_mib_is_413(gateway: Gateway) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {ADMIN_SECRET}"}
    body = BytesIO(b" " * (32 * 1024 * 1024 + 1))
    async with gateway.session.post(gateway.url / "admin/teams", data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["type"]) == (413, "invalid_request_error")
