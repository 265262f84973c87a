"""What administrators do: things are made, shown, changed and taken away, each as the contract says, and once."""

from typing import Any

from tests.http.conftest import ADMIN_SECRET, MEMBER_SECRET, Gateway


async def make_team(gateway: Gateway, team_id: str) -> Any:
    return await gateway.done("POST", "/admin/teams", {"id": team_id, "name": "A team"})


async def test_a_team_lives(gateway: Gateway) -> None:
    made = await gateway.done("POST", "/admin/teams", {"id": "red", "name": "Red", "colour": "unknown fields are ignored"})
    assert {name: made[name] for name in ("id", "name", "description", "status")} == {
        "id": "red",
        "name": "Red",
        "description": None,
        "status": "active",
    }
    assert made["created_at"].endswith("Z")
    changed = await gateway.done("PUT", "/admin/teams/red", {"description": "of the first floor", "name": None})
    assert (changed["name"], changed["description"]) == ("Red", "of the first floor")
    assert (await gateway.done("POST", "/admin/teams/red/suspend"))["status"] == "suspended"
    assert (await gateway.done("POST", "/admin/teams/red/activate"))["status"] == "active"
    listed = await gateway.done("GET", "/admin/teams")
    assert listed["total"] == len(listed["teams"])
    assert "red" in [team["id"] for team in listed["teams"]]
    assert await gateway.done("DELETE", "/admin/teams/red") == {"deleted": True, "id": "red"}
    assert (await gateway.ask("GET", "/admin/teams/red")).status == 404
    assert (await gateway.ask("DELETE", "/admin/teams/red")).status == 404


async def test_the_same_id_twice_is_409(gateway: Gateway) -> None:
    await make_team(gateway, "twice")
    again = await gateway.ask("POST", "/admin/teams", {"id": "twice", "name": "Other"})
    assert (again.status, again.error["type"]) == (409, "invalid_request_error")


async def test_the_administrators_stay(gateway: Gateway) -> None:
    refused = await gateway.ask("DELETE", "/admin/teams/administrators")
    assert "Cannot delete the administrators team" in refused.error["message"]
    refused = await gateway.ask("POST", "/admin/teams/administrators/suspend")
    assert "Cannot suspend the administrators team" in refused.error["message"]


async def test_a_key_works_from_its_first_answer_until_it_is_suspended(gateway: Gateway) -> None:
    made = await gateway.done("POST", "/admin/api-keys", {"name": "k", "permissions": {"admin": True}})
    secret = made["secret"]
    assert made["team_id"] == "administrators"
    assert made["key_prefix"] == secret[: len("pk_test_") + 8]
    assert made["permissions"] == {"admin": True, "models": "all", "knowledge_bases": "all", "prompts": "all", "chains": "all"}
    shown = await gateway.done("GET", f"/admin/api-keys/{made['id']}", secret=secret)
    assert "secret" not in shown
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert (await gateway.done("POST", f"/admin/api-keys/{made['id']}/suspend"))["status"] == "suspended"
    refused = await gateway.ask("GET", "/admin/teams", secret=secret)
    assert (refused.status, refused.error["type"]) == (401, "authentication_error")
    await gateway.done("POST", f"/admin/api-keys/{made['id']}/activate")
    await gateway.done("GET", "/admin/teams", secret=secret)
    assert (await gateway.done("POST", f"/admin/api-keys/{made['id']}/revoke"))["status"] == "revoked"
    assert (await gateway.ask("POST", f"/admin/api-keys/{made['id']}/activate")).status == 400


async def test_a_key_is_made_and_changed_in_all_its_parts(gateway: Gateway) -> None:
    await make_team(gateway, "of-the-key")
    body = {
        "id": "my-key",
        "name": "My key",
        "description": "for tests",
        "team_id": "of-the-key",
        "permissions": {"models": {"specific": ["b", "a"]}, "prompts": "none"},
        "rate_limits": {"requests_per_minute": 3, "parallel_requests": None},
        "expires_at": "2999-01-01T00:00:00+02:00",
        "tags": {"cost-centre": "7"},
    }
    made = await gateway.done("POST", "/admin/api-keys", body)
    assert made["permissions"]["models"] == {"specific": ["a", "b"]}
    assert (made["rate_limits"]["requests_per_minute"], made["rate_limits"]["tokens_per_minute"]) == (3, None)
    assert (made["expires_at"], made["tags"], made["id"]) == ("2998-12-31T22:00:00Z", {"cost-centre": "7"}, "my-key")
    same = await gateway.done("PUT", "/admin/api-keys/my-key", {})
    assert same["expires_at"] == made["expires_at"]
    changed = await gateway.done("PUT", "/admin/api-keys/my-key", {"expires_at": None, "name": None, "permissions": {"models": "none"}})
    assert (changed["expires_at"], changed["name"], changed["permissions"]["models"]) == (None, "My key", "none")
    assert changed["permissions"]["prompts"] == "all"  # permissions are replaced as a whole


async def test_bearer_wins_over_x_api_key_and_other_schemes_are_no_key(gateway: Gateway) -> None:
    async def status(headers: dict[str, str]) -> int:
        return (await gateway.ask("GET", "/admin/teams", secret=None, headers=headers)).status

    assert await status({"X-API-Key": ADMIN_SECRET}) == 200
    assert await status({"Authorization": f"bearer {ADMIN_SECRET}"}) == 200
    assert await status({"Authorization": f"Bearer {MEMBER_SECRET}", "X-API-Key": ADMIN_SECRET}) == 403
    assert await status({"Authorization": f"Basic {ADMIN_SECRET}"}) == 401
    assert await status({"Authorization": "Basic x", "X-API-Key": ADMIN_SECRET}) == 200
    assert await status({"Authorization": ADMIN_SECRET}) == 401


async def test_an_ill_formed_key_costs_the_log_nothing(gateway: Gateway, monkeypatch: Any) -> None:
    async def no_look() -> None:
        raise AssertionError("the log was asked")

    monkeypatch.setattr(gateway.log, "catch_up", no_look)
    for secret in ("sk-other", "pk_test_short", "pk_live_sp ace-in-it", f"pk_test_{'x' * 257}", "pk_test_ümlaut-in-it"):
        assert (await gateway.ask("GET", "/admin/teams", secret=secret)).status == 401


async def test_a_command_says_where_it_stands_in_the_log_and_its_version(gateway: Gateway) -> None:
    made = await gateway.ask("POST", "/admin/teams", {"id": "versioned", "name": "V"})
    assert int(made.headers["x-gateway-position"]) == gateway.log.position
    assert made.headers["ETag"] == '"1"'
    named = await gateway.ask("PUT", "/admin/teams/versioned", {"name": "W"}, headers={"If-Match": '"1"'})
    assert (named.status, named.headers["ETag"]) == (200, '"2"')
    late = await gateway.ask("PUT", "/admin/teams/versioned", {"name": "X"}, headers={"If-Match": '"1"'})
    assert (late.status, late.error["type"]) == (412, "invalid_request_error")
    shown = await gateway.ask("GET", "/admin/teams/versioned")
    assert (shown.json["name"], shown.headers["ETag"]) == ("W", '"2"')
    assert (await gateway.ask("PUT", "/admin/teams/versioned", {"name": "X"}, headers={"If-Match": "2"})).error["param"] == "If-Match"


async def test_a_repeated_request_is_done_once_and_its_secret_is_not_shown_again(gateway: Gateway) -> None:
    once = {"Idempotency-Key": "the same"}
    body = {"name": "once", "permissions": {}}
    first = await gateway.ask("POST", "/admin/api-keys", body, headers=once)
    position = gateway.log.position
    again = await gateway.ask("POST", "/admin/api-keys", body, headers=once)
    assert (first.status, again.status) == (200, 200)
    assert gateway.log.position == position
    assert again.json == {name: value for name, value in first.json.items() if name != "secret"}
    other = await gateway.ask("POST", "/admin/api-keys", body | {"name": "other"}, headers=once)
    assert (other.status, other.error["code"]) == (409, "idempotency_key_reused")
    too_long = await gateway.ask("POST", "/admin/api-keys", body, headers={"Idempotency-Key": "x" * 256})
    assert too_long.status == 400


async def test_a_credential_names_the_variable_of_its_secret_and_stays_while_it_is_used(gateway: Gateway) -> None:
    body = {"id": "cred_1", "name": "C", "credential_type": "azure-openai", "api_key_env": "AZURE_OPENAI_API_KEY", "endpoint": "https://x"}
    made = await gateway.done("POST", "/admin/credentials", body)
    assert (made["credential_type"], made["enabled"], made["api_key_env"]) == ("azure_openai", True, "AZURE_OPENAI_API_KEY")
    cleared = await gateway.done("PUT", "/admin/credentials/cred_1", {"endpoint": None, "enabled": False, "name": None})
    assert (cleared["endpoint"], cleared["enabled"], cleared["name"]) == (None, False, "C")
    smuggled = {"secret": {"source": "environment", "name": "DATABASE_URL"}, "name": "D"}
    assert (await gateway.done("PUT", "/admin/credentials/cred_1", smuggled))["api_key_env"] == "AZURE_OPENAI_API_KEY"
    model = {"id": "of-cred", "name": "M", "provider": "azure_openai", "provider_model": "gpt-4o", "credential_id": "cred_1"}
    await gateway.done("POST", "/admin/models", model)
    assert (await gateway.ask("DELETE", "/admin/credentials/cred_1")).status == 409
    await gateway.done("DELETE", "/admin/models/of-cred")
    assert await gateway.done("DELETE", "/admin/credentials/cred_1") == {"deleted": True, "id": "cred_1"}
    kinds = {each["provider_type"] for each in (await gateway.done("GET", "/admin/credentials/providers"))["providers"]}
    assert {"openai", "anthropic", "azure_openai", "aws_bedrock", "pgvector", "aws_knowledge_base", "pinecone"} <= kinds


async def test_text_that_nothing_can_match_finds_nothing(gateway: Gateway) -> None:
    for stream in ("%FF", "%ED%A0%80", "%F0%9F%98%80", "x%27%3BDROP%20TABLE%20stored_events%3B--"):
        assert (await gateway.done("GET", f"/admin/events?stream={stream}"))["events"] == []


async def test_events_are_filtered_and_paged(gateway: Gateway) -> None:
    made = await gateway.ask("POST", "/admin/teams", {"id": "logged", "name": "L"})
    for name in ("M", "N", "O"):
        await gateway.done("PUT", "/admin/teams/logged", {"name": name})
    all_of_it = (await gateway.done("GET", "/admin/events?stream=main/team/logged"))["events"]
    assert [event["topic"] for event in all_of_it] == ["team.created.v1"] + ["team.renamed.v1"] * 3
    first = all_of_it[0]
    assert (first["by"], first["org"], first["version"], first["data"]["name"]) == ("key:admin", "main", 1, "L")
    assert first["correlation_id"] == made.headers["x-request-id"]
    assert len(bytes.fromhex(first["hash"])) == 32
    page = await gateway.done("GET", "/admin/events?stream=main/team/logged&limit=2")
    assert page["next"] == page["events"][-1]["position"]
    rest = await gateway.done("GET", f"/admin/events?stream=main/team/logged&limit=3&after={page['next']}")
    assert page["events"] + rest["events"] == all_of_it
    assert "next" not in rest
    assert (await gateway.done("GET", f"/admin/events?correlation_id={first['correlation_id']}"))["events"] == [first]
    renamed = await gateway.done("GET", f"/admin/events?category=team&topic=team.renamed.v1&by=key:admin&after={first['position'] - 1}")
    assert [event["data"]["name"] for event in renamed["events"]] == ["M", "N", "O"]
    since = all_of_it[2]["at"]
    later = await gateway.done("GET", f"/admin/events?stream=main/team/logged&from={since}")
    earlier = await gateway.done("GET", f"/admin/events?stream=main/team/logged&to={since}")
    assert (earlier["events"], later["events"]) == (all_of_it[:2], all_of_it[2:])
    assert (await gateway.done("GET", "/admin/events?from=2999-01-01"))["events"] == []
