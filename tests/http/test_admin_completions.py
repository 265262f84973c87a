"""A completion's whole story, from its admission to the last cent."""

import asyncio
from typing import Any

from domain.budget.events import AtLimit
from tests.http.chat.conftest import INPUT_NANOS, MAX_OUTPUT_TOKENS, OUTPUT_NANOS, Desk, desk
from tests.scripted_provider import Script

__all__ = ["desk"]

COST_NANOS = 10 * INPUT_NANOS + 5 * OUTPUT_NANOS


async def story(desk: Desk, completion_id: str) -> Any:
    return await desk.gateway.done("GET", f"/admin/completions/{completion_id}")


async def test_a_settled_completion_tells_everything(desk: Desk) -> None:
    budget = await desk.open_budget(10**9, AtLimit.REJECT)
    answer = await desk.ask()
    completion_id = answer.headers["x-gateway-completion-id"]
    events = await desk.events(completion_id)
    told = await story(desk, completion_id)
    assert (told["id"], told["status"], told["usage_source"], told["end_reason"]) == (completion_id, "settled", "reported", "completed")
    assert told["events"] == [event["position"] for event in events]
    assert (told["admitted_at"], told["settled_at"]) == (events[0]["at"], events[-1]["at"])
    assert (told["api_key_id"], told["team_id"], told["model_id"], told["output_cap"]) == (desk.name,) * 3 + (MAX_OUTPUT_TOKENS,)
    (hold,) = told["holds"]
    assert (hold["budget_id"], hold["spent_nanos"], hold["amount_nanos"]) == (budget, COST_NANOS, events[0]["data"]["holds"][0]["nanos"])
    (attempt,) = told["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["raw_usage"]["total_tokens"]) == ("succeeded", 200, 15)
    assert (told["cost_nanos"], told["cost_usd"], told["usage"], told["overrun_nanos"]) == (
        COST_NANOS,
        0.00002,
        {"input": 10, "output": 5},
        0,
    )
    assert [(line["category"], line["quantity"], line["usd_per_million"], line["price_id"]) for line in told["cost_lines"]] == [
        ("input", 10, INPUT_NANOS / 1_000, f"{desk.name}.1"),
        ("output", 5, OUTPUT_NANOS / 1_000, f"{desk.name}.1"),
    ]
    assert sum(line["quantity"] * line["nanos_per_million"] for line in told["cost_lines"]) == COST_NANOS * 10**6


async def test_an_open_completion_holds_and_shows_its_age(desk: Desk) -> None:
    budget = await desk.open_budget(10**9, AtLimit.REJECT)
    desk.provider.hold()
    asking = asyncio.create_task(desk.ask())
    await desk.provider.until_received(1)
    (completion_id,) = await desk.admissions()
    told = await story(desk, completion_id)
    assert (told["status"], told["attempts"], told["cost_lines"]) == ("open", [], [])
    assert not told.keys() & {"settled_at", "cost_nanos", "usage", "end_reason"}
    (hold,) = (await desk.gateway.done("GET", f"/admin/budgets/{budget}/holds"))["holds"]
    assert (hold["completion_id"], hold["api_key_id"], hold["owner"]) == (completion_id, desk.name, told["owner"])
    assert hold["amount_nanos"] == told["holds"][0]["amount_nanos"]
    assert 0 <= hold["age_s"] < 60
    shown = await desk.gateway.done("GET", f"/admin/budgets/{budget}")
    assert (shown["held_nanos"], shown["settled_nanos"]) == (hold["amount_nanos"], 0)
    assert (await desk.gateway.done("GET", f"/admin/budgets/{budget}/holds?generation=2"))["holds"] == []
    await desk.gateway.done("POST", f"/admin/budgets/{budget}/reset")
    assert (await desk.gateway.done("GET", f"/admin/budgets/{budget}/holds"))["holds"] == []
    (before_reset,) = (await desk.gateway.done("GET", f"/admin/budgets/{budget}/holds?generation=1"))["holds"]
    assert before_reset["completion_id"] == completion_id
    desk.provider.release()
    await asking
    assert (await desk.gateway.done("GET", f"/admin/budgets/{budget}/holds?generation=1"))["holds"] == []


async def test_completions_are_filtered_and_paged(desk: Desk) -> None:
    for _ in range(3):
        await desk.ask()
    desk.provider.queued.append(Script(status=400, raw=b'{"error":{"message":"no"}}'))
    await desk.ask()
    path = f"/admin/completions?api_key_id={desk.name}"
    whole = (await desk.gateway.done("GET", path))["completions"]
    assert [each["status"] for each in whole] == ["failed", "settled", "settled", "settled"]
    first = await desk.gateway.done("GET", f"{path}&limit=3")
    rest = await desk.gateway.done("GET", f"{path}&limit=3&after={first['next']}")
    assert first["completions"] + rest["completions"] == whole
    assert "next" not in rest
    for said, count in {
        "status=failed": 1,
        "status=open": 0,
        f"team_id={desk.name}&model_id={desk.name}": 4,
        "model_id=other": 0,
        f"from={whole[1]['admitted_at']}": 2,
        f"to={whole[1]['admitted_at']}": 2,
    }.items():
        assert len((await desk.gateway.done("GET", f"{path}&{said}"))["completions"]) == count, said
