"""Probes and metrics: open to all, and bounded in what they say."""

import pytest

from tests.http.conftest import Gateway


async def test_it_is_healthy_alive_and_ready_without_a_key(gateway: Gateway) -> None:
    health = await gateway.ask("GET", "/health", secret=None)
    assert health.json == {"status": "healthy", "version": "0.0.0-test"}
    assert health.headers["Content-Type"].startswith("application/json")
    live = await gateway.ask("GET", "/live", secret=None)
    assert (live.status, live.raw) == (200, b"")
    ready = await gateway.ask("GET", "/ready", secret=None)
    assert (ready.status, ready.json["status"]) == (200, "healthy")
    assert {"model_service", "api_key_service"} <= {check["name"] for check in ready.json["checks"]}


async def test_a_process_that_may_not_decide_is_not_ready_but_alive(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.log, "ready", lambda: "the clock is wrong")
    ready = await gateway.ask("GET", "/ready", secret=None)
    assert (ready.status, ready.json["status"]) == (503, "unhealthy")
    assert ready.json["checks"][0]["message"] == "the clock is wrong"
    assert (await gateway.ask("GET", "/live", secret=None)).status == 200


async def test_metrics_hold_routes_and_never_what_a_client_wrote(gateway: Gateway) -> None:
    await gateway.ask("GET", "/admin/teams/some-name-of-mine")
    await gateway.ask("GET", "/a/path/of/mine", secret=None)
    await gateway.ask("PROPFIND", "/health", secret=None)
    metrics = (await gateway.ask("GET", "/metrics", secret=None)).raw.decode()
    assert 'gateway_http_requests_total{method="GET",route="/admin/teams/{team_id}",status="404"}' in metrics
    assert 'gateway_http_requests_total{method="other",route="none",status="405"}' in metrics
    assert "gateway_ready 1.0" in metrics
    assert "mine" not in metrics
    assert "PROPFIND" not in metrics
