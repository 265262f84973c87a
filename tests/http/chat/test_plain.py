"""Plain chat completions, from the client to the provider and back, recorded."""

import asyncio
import socket
from typing import Any

import pytest

from adapters.log.postgres_log import PostgresLog
from domain.completion.commands import SettleCompletion
from domain.errors import Unavailable
from domain.model.events import ModelConfig
from tests.http.chat.conftest import INPUT_NANOS, MAX_OUTPUT_TOKENS, MESSAGES, OUTPUT_NANOS, PATH, Desk
from tests.scripted_provider import Script


async def test_an_answer_is_the_providers_under_the_gateways_name_of_the_model(desk: Desk) -> None:
    answer = await desk.ask()
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json == {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": desk.name,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there, friend"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


async def test_what_happened_is_recorded_and_what_was_said_is_not(desk: Desk) -> None:
    answer = await desk.ask()
    cost_nanos = 10 * INPUT_NANOS + 5 * OUTPUT_NANOS
    admitted, settled = await desk.events(answer.headers["x-gateway-completion-id"])
    assert admitted["by"] == f"key:{desk.name}"
    assert admitted["correlation_id"] == settled["correlation_id"] == answer.headers["x-request-id"]
    assert (settled["data"]["cost_nanos"], settled["data"]["usage_source"], settled["data"]["end_reason"]) == (
        cost_nanos,
        "reported",
        "completed",
    )
    (attempt,) = settled["data"]["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["usage"]) == ("succeeded", 200, {"input": 10, "output": 5})
    assert attempt["raw_usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert not any(said in str(event) for event in (admitted, settled) for said in ("hello", "Hello", "sk-of-the-provider", desk.secret))


async def test_the_headers_say_what_it_came_to(desk: Desk) -> None:
    headers = (await desk.ask()).headers
    assert headers["x-gateway-cost-usd"] == "0.00002"
    assert 0 < float(headers["x-gateway-overhead-ms"]) < 5_000
    assert "x-gateway-max-tokens" not in headers
    assert "x-ratelimit-limit-requests" not in headers


async def test_the_provider_gets_its_key_its_model_and_what_the_client_sent(desk: Desk) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    await desk.ask(tools=tools, novel={"x": [1.5]}, temperature=0.25)
    (received,) = desk.provider.received
    assert received.path == PATH
    assert received.headers["Authorization"] == "Bearer sk-of-the-provider"
    assert received.body == {
        "model": "upstream-model-2026",
        "messages": MESSAGES,
        "tools": tools,
        "novel": {"x": [1.5]},
        "temperature": 0.25,
        "max_tokens": MAX_OUTPUT_TOKENS,
    }


async def test_the_cap_is_the_clients_or_else_the_ledgers(desk: Desk) -> None:
    await desk.ask(max_completion_tokens=7)
    assert desk.provider.received[0].body["max_completion_tokens"] == 7
    assert "max_tokens" not in desk.provider.received[0].body
    await desk.publish(f"{desk.name}-short", config=ModelConfig(max_tokens=50, temperature=0.5))
    answer = await desk.ask(model=f"{desk.name}-short")
    assert answer.headers["x-gateway-max-tokens"] == "50"
    assert (desk.provider.received[1].body["max_tokens"], desk.provider.received[1].body["temperature"]) == (50, 0.5)


async def test_usage_that_is_not_reported_is_estimated_and_marked(desk: Desk) -> None:
    desk.provider.script = Script(usage=None)
    settled = await desk.settled((await desk.ask()).headers["x-gateway-completion-id"])
    assert (settled["usage_source"], settled["end_reason"]) == ("estimated", "completed")
    assert settled["attempts"][0]["usage"]["output"] == 5  # "Hello there, friend" is 19 bytes
    assert settled["attempts"][0]["usage"]["input"] > 0
    assert settled["cost_nanos"] > 0


@pytest.mark.parametrize(
    ("status", "shown", "outcome"),
    [
        (400, 400, "refused"),
        (401, 502, "refused"),
        (404, 502, "refused"),
        (429, 429, "refused"),
        (500, 502, "failed"),
        (503, 503, "failed"),
    ],
)
async def test_a_providers_error_costs_nothing_and_keeps_its_class(desk: Desk, status: int, shown: int, outcome: str) -> None:
    error = (
        b'{"error": {"message": "No. sk-of-the-provider at %b", "type": "x", "param": "top_k", "code": "bad_top_k"}}'
        % desk.provider.url.encode()
    )
    desk.provider.script = Script(status=status, raw=error, headers={"Retry-After": "3", "X-Upstream": "secret"})
    answer = await desk.ask()
    assert answer.status == shown
    assert answer.error["message"]
    if status == 400:
        assert (answer.error["code"], answer.error["param"]) == ("bad_top_k", "top_k")
    assert answer.headers.get("Retry-After") == ("3" if shown in (429, 503) else None)
    assert not any(private in f"{answer.raw!r} {answer.headers}" for private in ("sk-of", desk.provider.url, "X-Upstream", "Traceback"))
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["cost_nanos"], settled["end_reason"], settled["usage_source"]) == (0, "provider_error", "none")
    assert (settled["attempts"][0]["outcome"], settled["attempts"][0]["status"]) == (outcome, status)


async def test_an_answer_that_is_cut_is_charged_its_prompt_bound(desk: Desk) -> None:
    desk.provider.script = Script(cut_after_bytes=100)
    answer = await desk.ask()
    assert answer.status == 502
    admitted, settled = await desk.events(answer.headers["x-gateway-completion-id"])
    bound = admitted["data"]["prompt_tokens_bound"]
    assert (settled["data"]["end_reason"], settled["data"]["usage_source"]) == ("cut", "estimated")
    assert settled["data"]["cost_nanos"] == bound * INPUT_NANOS
    assert settled["data"]["attempts"][0]["outcome"] == "unknown"


@pytest.mark.parametrize("raw", [b"<html>", b"", b'{"choices": 5}'])
async def test_an_answer_that_cannot_be_read_is_a_bad_gateway(desk: Desk, raw: bytes) -> None:
    desk.provider.script = Script(raw=raw)
    answer = await desk.ask()
    assert answer.status == 502
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["usage_source"], settled["attempts"][0]["outcome"]) == ("estimated", "unknown")


async def test_a_provider_that_is_too_slow_times_out(desk: Desk) -> None:
    await desk.publish(f"{desk.name}-quick", config=ModelConfig(timeout_ms=50))
    desk.provider.script = Script(head_after_s=10)
    answer = await desk.ask(model=f"{desk.name}-quick")
    assert (answer.status, answer.error["code"]) == (504, "provider_timeout")
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["end_reason"], settled["usage_source"]) == ("timed_out", "estimated")
    await asyncio.wait_for(desk.provider.received[0].disconnected.wait(), 2)


async def test_a_provider_that_cannot_be_reached_costs_nothing(desk: Desk) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    await desk.add_credential(f"{desk.name}-off", endpoint=f"http://127.0.0.1:{port}", variable=None)
    await desk.publish(f"{desk.name}-off", credential=f"{desk.name}-off")
    answer = await desk.ask(model=f"{desk.name}-off")
    assert (answer.status, answer.error["code"]) == (503, "provider_unreachable")
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["cost_nanos"], settled["attempts"][0]["outcome"]) == (0, "failed")


@pytest.mark.parametrize(("variable", "provider"), [("NOT_SET", "openai"), ("PROVIDER_KEY", "novel")])
async def test_what_cannot_be_sent_is_settled_at_nothing(desk: Desk, variable: str, provider: str) -> None:
    name = f"{desk.name}-shut"
    await desk.add_credential(name, endpoint=desk.provider.url, variable=variable)
    await desk.publish(name, credential=name, provider=provider)
    answer = await desk.ask(model=name)
    assert answer.status == 503
    assert "NOT_SET" not in str(answer.raw)
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["end_reason"], settled["cost_nanos"], settled["attempts"]) == ("not_sent", 0, [])
    assert not desk.provider.received


async def test_an_answer_waits_for_its_settlement_only_a_moment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, refusals = PostgresLog.submit, [1, 2]

    async def submit_later(log: PostgresLog, command: Any, **more: Any) -> Any:
        if isinstance(command, SettleCompletion) and refusals:
            refusals.pop()
            raise Unavailable
        return await submit(log, command, **more)

    monkeypatch.setattr(PostgresLog, "submit", submit_later)
    began = asyncio.get_running_loop().time()
    answer = await desk.ask()
    assert answer.status == 200
    assert asyncio.get_running_loop().time() - began < 0.28
    assert "x-gateway-cost-usd" not in answer.headers
    assert (await desk.settled(answer.headers["x-gateway-completion-id"]))["end_reason"] == "completed"
    assert not refusals


async def test_while_too_many_settlements_wait_nothing_is_admitted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.settling.SETTLING_MAX", 0)
    answer = await desk.ask()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert await desk.admissions() == []


async def test_a_fault_of_our_own_is_settled_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.providers.openai.OpenAI.answer", lambda *_: 1 / 0)
    answer = await desk.ask()
    assert (answer.status, answer.error["type"]) == (500, "server_error")
    assert "division" not in str(answer.raw)
    assert (await desk.settled(answer.headers["x-gateway-completion-id"]))["attempts"][0]["outcome"] == "unknown"


async def test_a_client_that_leaves_cancels_the_provider_and_is_settled_by_estimate(desk: Desk) -> None:
    desk.provider.hold()
    asking = asyncio.create_task(desk.ask())
    await desk.provider.until_received(1)
    asking.cancel()
    await asyncio.wait_for(desk.provider.received[0].disconnected.wait(), 2)
    (completion_id,) = await desk.admissions()
    settled = await desk.settled(completion_id)
    assert (settled["end_reason"], settled["usage_source"]) == ("client_gone", "estimated")
    assert settled["attempts"][0]["usage"]["input"] > 0


async def test_a_client_that_leaves_during_its_admission_is_settled_as_not_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, begun, go = PostgresLog.submit, asyncio.Event(), asyncio.Event()

    async def submit_slowly(log: PostgresLog, command: Any, **more: Any) -> Any:
        begun.set()
        await go.wait()
        return await submit(log, command, **more)

    monkeypatch.setattr(PostgresLog, "submit", submit_slowly)
    asking = asyncio.create_task(desk.ask())
    await begun.wait()
    asking.cancel()
    await asyncio.sleep(0.05)
    go.set()
    await asyncio.sleep(0.05)
    (completion_id,) = await desk.admissions()
    settled = await desk.settled(completion_id)
    assert (settled["end_reason"], settled["cost_nanos"]) == ("not_sent", 0)
    assert not desk.provider.received
