"""What was used, record by record and in sums; and the records of the past deleted."""

import time
from typing import Any

from domain.budget.events import AtLimit
from tests.http.chat.conftest import INPUT_NANOS, OUTPUT_NANOS, Desk, desk
from tests.scripted_provider import Script

__all__ = ["desk"]

COST_NANOS = 10 * INPUT_NANOS + 5 * OUTPUT_NANOS


async def used(desk: Desk, good: int = 2, bad: int = 1) -> None:
    for _ in range(good):
        assert (await desk.ask()).status == 200
    desk.provider.queued.extend([Script(status=400, raw=b'{"error":{"message":"no"}}')] * bad)
    for _ in range(bad):
        assert (await desk.ask()).status == 400


async def usage(desk: Desk, path: str = "", **asked: Any) -> Any:
    said = "&".join(f"{name}={value}" for name, value in {"api_key_id": desk.name, **asked}.items())
    return await desk.gateway.done("GET", f"/admin/usage{path}?{said}")


async def test_each_completion_is_a_record(desk: Desk) -> None:
    began = int(time.time())
    await used(desk)
    answer = await desk.gateway.ask("GET", f"/admin/usage?api_key_id={desk.name}")
    assert "x-gateway-stale" not in answer.headers
    failed, one, other = answer.json["records"]
    assert answer.json["count"] == 3
    assert (failed["success"], failed["error"], failed["cost_usd"]) == (False, "provider_error", 0.0)
    assert b'"cost_usd":0.0,' in answer.raw
    assert {name: one[name] for name in ("input_tokens", "output_tokens", "total_tokens", "cost_nanos", "success", "error")} == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "cost_nanos": COST_NANOS,
        "success": True,
        "error": None,
    }
    assert (one["usage_type"], one["model_id"], one["cost_usd"]) == ("chat_completion", desk.name, 0.00002)
    assert began <= other["timestamp"] <= one["timestamp"] <= time.time() + 1
    assert isinstance(one["latency_ms"], int)


async def test_records_come_in_pages_and_by_offset(desk: Desk) -> None:
    await used(desk, good=5, bad=0)
    whole = (await usage(desk))["records"]
    first = await usage(desk, limit=2)
    second = await usage(desk, limit=2, after=first["next"])
    rest = await usage(desk, limit=2, after=second["next"])
    assert first["records"] + second["records"] + rest["records"] == whole
    assert "next" not in rest
    assert (await usage(desk, limit=2, offset=3))["records"] == whole[3:]


async def test_sums_are_those_of_the_records(desk: Desk) -> None:
    assert await usage(desk, "/aggregate") == {
        "total_requests": 0,
        "successful_requests": 0,
        "failed_requests": 0,
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "total_tokens": 0,
        "total_cost_usd": 0.0,
        "total_cost_nanos": 0,
        "avg_latency_ms": 0.0,
        "success_rate": 0.0,
    }
    await used(desk, good=3, bad=1)
    sums = await usage(desk, "/aggregate")
    assert (sums["total_requests"], sums["successful_requests"], sums["failed_requests"], sums["success_rate"]) == (4, 3, 1, 0.75)
    assert (sums["total_tokens"], sums["total_cost_nanos"], sums["total_cost_usd"]) == (45, 3 * COST_NANOS, 0.00006)
    assert isinstance(sums["avg_latency_ms"], float)
    now = int(time.time())
    within = {"from_timestamp": now - 3_600, "to_timestamp": now + 1}
    assert await usage(desk, "/aggregate", **within) == sums
    assert (await usage(desk, "/aggregate", from_timestamp=now - 7_200, to_timestamp=now - 3_600))["total_requests"] == 0
    assert (await usage(desk, "/aggregate", to_timestamp=2**64 - 1, model_id=desk.name))["total_requests"] == 4


async def test_a_zero_is_written_as_a_float(desk: Desk) -> None:
    raw = (await desk.gateway.ask("GET", f"/admin/usage/summary?api_key_id={desk.name}")).raw
    for name in (b"total_cost_usd", b"avg_latency_ms", b"success_rate"):
        assert b'"%b":0.0' % name in raw


async def test_a_summary_has_its_bounds_and_its_days(desk: Desk) -> None:
    await used(desk)
    summary = await usage(desk, "/summary")
    assert (summary["period_start"], summary["aggregate"]) == (0, await usage(desk, "/aggregate"))
    assert abs(summary["period_end"] - time.time()) < 10
    assert sum(day["requests"] for day in summary["daily"]) == 3
    assert all(day["date"] % 86_400 == 0 for day in summary["daily"])
    assert (summary["daily"][-1]["tokens"], summary["daily"][-1]["cost_usd"]) == (30, 0.00004)
    bounded = await usage(desk, "/summary", from_timestamp=5, to_timestamp=2**64 - 1)
    assert (bounded["period_start"], bounded["period_end"]) == (5, 2**64 - 1)


async def test_what_is_deleted_is_counted_and_gone_and_budgets_stay(desk: Desk) -> None:
    budget = await desk.open_budget(10**9, AtLimit.REJECT)
    await used(desk)
    before = await desk.gateway.done("GET", f"/admin/budgets/{budget}")
    assert before["settled_nanos"] == 2 * COST_NANOS
    everybodys = (await desk.gateway.done("GET", "/admin/usage/aggregate"))["total_requests"]
    answer = await desk.gateway.ask("DELETE", f"/admin/usage?before_timestamp={int(time.time()) + 100}")
    assert answer.json == {"deleted": everybodys}
    assert "x-gateway-position" in answer.headers
    assert await usage(desk) == {"records": [], "count": 0}
    assert (await usage(desk, "/aggregate"))["total_requests"] == 0
    assert await desk.gateway.done("GET", f"/admin/budgets/{budget}") == before
    await used(desk, good=1, bad=0)
    assert (await usage(desk, "/aggregate"))["total_requests"] == 1
    assert await desk.gateway.done("DELETE", "/admin/usage?before_timestamp=1") == {"deleted": 0}


async def test_the_key_says_when_it_was_last_used(desk: Desk) -> None:
    assert (await desk.gateway.done("GET", f"/admin/api-keys/{desk.name}"))["last_used_at"] is None
    await desk.ask()
    assert (await desk.gateway.done("GET", f"/admin/api-keys/{desk.name}"))["last_used_at"].endswith("Z")
