"""Budgets: exact amounts, their scope, and what they say of themselves."""

import time
from typing import Any

from tests.http.conftest import Gateway


def budget(budget_id: str, **more: Any) -> dict[str, Any]:
    return {"id": budget_id, "name": "B", "period": "monthly", "hard_limit_usd": 10} | more


async def test_a_budget_is_shown_as_the_contract_says(gateway: Gateway) -> None:
    raw = (
        b'{"id":"exact_1","name":"B","period":"monthly","hard_limit_usd":0.57,"soft_limit_usd":0.1,"alert_thresholds":[90,50,150],'
        b'"team_ids":["invented"],"starting_spend_usd":0.3}'
    )
    answer = await gateway.ask("POST", "/admin/budgets", raw)
    assert b'"hard_limit_usd":0.57,' in answer.raw
    made = answer.json
    assert (made["hard_limit_nanos"], made["soft_limit_nanos"], made["current_usage_nanos"]) == (570_000_000, 100_000_000, 300_000_000)
    assert (made["current_usage_usd"], made["remaining_usd"], made["held_usd"], made["free_usd"]) == (0.3, 0.27, 0.0, 0.27)
    assert b'"held_usd":0.0' in answer.raw
    assert (made["status"], made["scope"], made["at_limit"], made["time_zone"]) == ("warning", "teams", "clamp", "UTC")
    assert round(made["usage_percent"], 3) == 52.632
    assert [alert["threshold_percent"] for alert in made["alerts"]] == [50, 90, 100]
    assert [alert["triggered"] for alert in made["alerts"]] == [True, False, False]
    assert isinstance(made["created_at"], int)
    assert abs(made["period_start"] - time.time()) < 60
    assert made["period_end"] > made["period_start"]
    assert await gateway.done("GET", "/admin/budgets/exact_1") == made


async def test_a_budget_is_changed_in_parts(gateway: Gateway) -> None:
    await gateway.done("POST", "/admin/budgets", budget("parts", soft_limit_usd=5, api_key_ids=["k"], period="daily"))
    changed = await gateway.done(
        "PUT", "/admin/budgets/parts", {"hard_limit_usd": 20.5, "name": "C", "period": "weekly", "model_ids": ["m"]}
    )
    assert (changed["hard_limit_usd"], changed["soft_limit_usd"], changed["period"], changed["model_ids"]) == (20.5, 5.0, "daily", ["m"])
    assert (changed["scope"], changed["name"]) == ("specific_api_keys", "C")
    assert (await gateway.done("PUT", "/admin/budgets/parts", {"team_ids": ["t"]}))["scope"] == "mixed"
    assert (await gateway.done("PUT", "/admin/budgets/parts", {"soft_limit_usd": None}))["soft_limit_usd"] is None
    assert (await gateway.done("PUT", "/admin/budgets/parts", {"enabled": False}))["status"] == "paused"
    refused = await gateway.ask("PUT", "/admin/budgets/parts", {"soft_limit_usd": 20.5})
    assert refused.error["param"] == "soft_limit_usd"
    ours = await gateway.done("PUT", "/admin/budgets/parts", {"hard_limit_nanos": 1})
    assert ours["hard_limit_usd"] == 20.5
    assert await gateway.done("DELETE", "/admin/budgets/parts") == {"deleted": True, "id": "parts"}
    assert (await gateway.ask("GET", "/admin/budgets/parts")).status == 404


async def test_a_reset_begins_again_at_nothing(gateway: Gateway) -> None:
    made = await gateway.done("POST", "/admin/budgets", budget("spent", starting_spend_usd=10, team_ids=["nobody"]))
    assert (made["status"], made["generation"], made["free_usd"]) == ("exceeded", 1, 0.0)
    again = await gateway.done("POST", "/admin/budgets/spent/reset")
    assert (again["status"], again["generation"], again["current_usage_usd"]) == ("active", 2, 0.0)
    assert again["period_start"] >= made["period_start"]


async def test_a_lifetime_has_no_end(gateway: Gateway) -> None:
    made = await gateway.done("POST", "/admin/budgets", budget("for-ever", period="lifetime", team_ids=["nobody"]))
    assert made["period_end"] is None
    assert abs(made["period_start"] - time.time()) < 60


async def test_a_check_says_what_would_be_exceeded(gateway: Gateway) -> None:
    for budget_id, more in {
        "small": {"api_key_ids": ["checked"], "hard_limit_usd": 1},
        "large": {"team_ids": ["team-checked"], "hard_limit_usd": 100, "soft_limit_usd": 2},
        "other-model": {"api_key_ids": ["checked"], "model_ids": ["m2"], "hard_limit_usd": 0.01},
        "asleep": {"api_key_ids": ["checked"], "hard_limit_usd": 0.01, "enabled": False},
    }.items():
        await gateway.done("POST", "/admin/budgets", budget(budget_id, **more))

    async def check(**body: Any) -> Any:
        return await gateway.done("POST", "/admin/budgets/check", {"api_key_id": "checked"} | body)

    fits = await check(estimated_cost_usd=1)
    assert fits == {"allowed": True, "exceeded_budgets": [], "warning_budgets": [], "estimated_cost_usd": 1.0}
    over = await check(estimated_cost_usd=2, team_id="team-checked", model_id="m2")
    assert (over["allowed"], over["exceeded_budgets"], over["warning_budgets"]) == (False, ["other-model", "small"], ["large"])


async def test_a_teams_budgets_are_the_global_ones_and_its_own(gateway: Gateway) -> None:
    await gateway.done("POST", "/admin/budgets", budget("everyones", enabled=False))
    await gateway.done("POST", "/admin/budgets", budget("the-teams", team_ids=["one-team", "another"]))
    listed = await gateway.done("GET", "/admin/budgets/by-team/one-team")
    assert [each["id"] for each in listed["budgets"]] == ["everyones", "the-teams"]
    await gateway.done("DELETE", "/admin/budgets/everyones")


async def test_nothing_is_held_without_completions(gateway: Gateway) -> None:
    await gateway.done("POST", "/admin/budgets", budget("unheld", team_ids=["nobody"]))
    assert await gateway.done("GET", "/admin/budgets/unheld/holds") == {"holds": []}
    assert (await gateway.ask("GET", "/admin/budgets/not-there/holds")).status == 404
