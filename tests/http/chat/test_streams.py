"""Streamed chat completions: forwarded, cut, left, and always settled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientError, ClientResponse

from domain.model.events import ModelConfig
from tests.http.chat.conftest import INPUT_NANOS, OUTPUT_NANOS, PATH, Desk
from tests.http.conftest import Answer
from tests.scripted_provider import Script, chunk, streamed


def events(raw: bytes) -> list[Any]:
    """What the events hold; `[DONE]` as text."""
    found = [event.removeprefix(b"data: ") for event in raw.split(b"\n\n") if event.startswith(b"data: ")]
    return ["[DONE]" if event == b"[DONE]" else orjson.loads(event) for event in found]


def text(raw: bytes) -> str:
    chunks = [event for event in events(raw) if event != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for each in chunks for choice in each.get("choices", ()))


def event_of(**value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


async def ask(desk: Desk, **changes: Any) -> Answer:
    return await desk.ask(stream=True, **changes)


@asynccontextmanager
async def opened(desk: Desk, **changes: Any) -> AsyncIterator[ClientResponse]:
    """A stream of which the test decides how far it is read."""
    url = desk.gateway.url.with_path(PATH)
    async with desk.gateway.session.post(url, data=orjson.dumps(desk.body(stream=True, **changes)), headers=desk.headers) as response:
        yield response


async def test_a_stream_is_forwarded_and_ends_with_its_last_word(desk: Desk) -> None:
    answer = await ask(desk)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-cache", "no")
    assert text(answer.raw) == "Hello there, friend"
    assert events(answer.raw)[-1] == "[DONE]"
    assert {event["model"] for event in events(answer.raw)[:-1]} == {desk.name}
    assert float(answer.headers["x-gateway-overhead-ms"]) > 0


async def test_a_stream_is_settled_by_what_the_provider_reported(desk: Desk) -> None:
    answer = await ask(desk)
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["usage_source"], settled["end_reason"]) == ("reported", "completed")
    assert settled["cost_nanos"] == 10 * INPUT_NANOS + 5 * OUTPUT_NANOS
    assert desk.provider.received[0].body["stream_options"] == {"include_usage": True}


async def test_usage_is_shown_to_the_client_who_asks(desk: Desk) -> None:
    assert "usage" not in events((await ask(desk)).raw)[-2]
    assert events((await ask(desk, stream_options={"include_usage": True})).raw)[-2]["usage"]["total_tokens"] == 15


async def test_the_settlement_is_recorded_before_the_last_word(desk: Desk) -> None:
    answer = await ask(desk)
    found = await desk.gateway.done("GET", f"/admin/events?stream=main/completion/{answer.headers['x-gateway-completion-id']}")
    assert [event["topic"] for event in found["events"]] == ["completion.admitted.v1", "completion.settled.v1"]


async def test_connections_to_the_provider_are_used_again(desk: Desk) -> None:
    for _ in range(5):
        await ask(desk)
        await asyncio.sleep(0.02)
    assert len(desk.provider.connections) == 1


@pytest.mark.parametrize("cut_after_bytes", [0, 20])
async def test_a_stream_cut_before_its_first_event_is_an_error(desk: Desk, cut_after_bytes: int) -> None:
    desk.provider.script = Script(cut_after_bytes=cut_after_bytes)
    answer = await ask(desk)
    assert (answer.status, answer.error["type"]) == (502, "server_error")
    assert (await desk.settled(answer.headers["x-gateway-completion-id"]))["end_reason"] == "cut"


async def test_a_stream_cut_later_ends_with_an_error_event_and_no_last_word(desk: Desk) -> None:
    desk.provider.script = Script(cut_after_bytes=600)
    answer = await ask(desk)
    assert answer.status == 200
    assert set(events(answer.raw)[-1]["error"]) == {"message", "type", "param", "code"}
    assert b"[DONE]" not in answer.raw
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["end_reason"], settled["usage_source"], settled["attempts"][0]["outcome"]) == ("cut", "estimated", "unknown")
    assert settled["attempts"][0]["usage"]["output"] >= 1


@pytest.mark.parametrize(
    ("raw", "status"),
    [(event_of(error={"message": "no", "code": 503}), 503), (b"data: junk\n\n", 502), (b"<html></html>", 502), (b"", 502)],
)
async def test_a_stream_that_never_began_is_an_error(desk: Desk, raw: bytes, status: int) -> None:
    desk.provider.script = Script(raw=raw)
    answer = await ask(desk)
    assert answer.status == status
    await desk.settled(answer.headers["x-gateway-completion-id"])


async def test_a_refusal_of_the_provider_is_an_error_and_no_stream(desk: Desk) -> None:
    desk.provider.script = Script(status=429, raw=b"", headers={"Retry-After": "9"})
    answer = await ask(desk)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "9")


async def test_an_error_in_the_stream_is_passed_on_in_the_stream(desk: Desk) -> None:
    begun = event_of(**chunk([{"index": 0, "delta": {"content": "Half an answer"}}]))
    desk.provider.script = Script(raw=begun + event_of(error={"message": "at 10.0.0.1", "type": "server_error"}))
    answer = await ask(desk)
    assert events(answer.raw)[-1]["error"]["code"] == "provider_error"
    assert b"10.0.0.1" not in answer.raw
    assert b"[DONE]" not in answer.raw
    settled = await desk.settled(answer.headers["x-gateway-completion-id"])
    assert (settled["end_reason"], settled["attempts"][0]["usage"]["output"]) == ("cut", 4)


async def test_a_stream_that_falls_silent_times_out(desk: Desk) -> None:
    await desk.publish(f"{desk.name}-quick", config=ModelConfig(timeout_ms=100))
    desk.provider.script = Script(raw=event_of(**chunk([{"index": 0, "delta": {"content": "Half"}}])), endless=True)
    answer = await ask(desk, model=f"{desk.name}-quick")
    assert events(answer.raw)[-1]["error"]["code"] == "provider_timeout"
    assert (await desk.settled(answer.headers["x-gateway-completion-id"]))["end_reason"] == "timed_out"


async def test_usage_that_is_not_reported_is_counted(desk: Desk) -> None:
    desk.provider.script = Script(usage=None)
    settled = await desk.settled((await ask(desk)).headers["x-gateway-completion-id"])
    assert (settled["usage_source"], settled["end_reason"]) == ("estimated", "completed")
    assert settled["attempts"][0]["usage"]["output"] == 6


async def test_events_arrive_as_they_come(desk: Desk) -> None:
    content = streamed(Script(), {})
    first = content.index(b"\n\n") + 2
    desk.provider.script = Script(raw=content, split_at=(first,), pause_s=0.5)
    async with opened(desk) as response:
        began = asyncio.get_running_loop().time()
        assert b"assistant" in await response.content.readany()
        assert asyncio.get_running_loop().time() - began < 0.4


async def test_a_client_that_leaves_cancels_the_provider_and_is_settled_by_what_was_seen(desk: Desk) -> None:
    desk.provider.script = Script(raw=event_of(**chunk([{"index": 0, "delta": {"content": "Half an answer"}}])), endless=True)
    async with opened(desk) as response:
        await response.content.readany()
        completion_id = response.headers["x-gateway-completion-id"]
        response.close()
    await asyncio.wait_for(desk.provider.received[0].disconnected.wait(), 2)
    settled = await desk.settled(completion_id)
    assert (settled["end_reason"], settled["usage_source"]) == ("client_gone", "estimated")
    assert settled["attempts"][0]["usage"]["output"] == 4


async def test_silence_is_filled_with_comments(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoints.http.server_sent_events.SILENCE_S_MAX", 0.1)
    content = streamed(Script(), {})
    desk.provider.script = Script(raw=content, split_at=(content.index(b"\n\n") + 2,), pause_s=0.35)
    answer = await ask(desk)
    assert answer.raw.count(b": ping\n\n") in (2, 3)
    assert text(answer.raw) == "Hello there, friend"


async def test_a_provider_that_thinks_for_long_does_not_leave_the_client_in_silence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoints.http.server_sent_events.SILENCE_S_MAX", 0.1)
    desk.provider.script = Script(head_after_s=0.25, status=500)
    answer = await ask(desk)
    assert answer.raw.startswith(b": ping\n\n")
    assert events(answer.raw)[-1]["error"]["code"] == "provider_error"


async def test_a_client_that_reads_slowly_holds_the_provider_back(desk: Desk) -> None:
    many = event_of(**chunk([{"index": 0, "delta": {"content": "x" * 1_000}}])) * 40_000
    desk.provider.script = Script(raw=many, split_at=range(0, len(many), 64 * 1024))
    async with opened(desk) as response:
        await response.content.readany()
        await asyncio.sleep(0.5)
        assert desk.provider.received[0].sent_bytes < 16 * 1024 * 1024 < len(many)
        response.close()
    await asyncio.wait_for(desk.provider.received[0].disconnected.wait(), 2)


async def test_a_client_that_takes_nothing_is_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoints.http.server_sent_events.SILENCE_S_MAX", 0.05)
    monkeypatch.setattr("entrypoints.http.server_sent_events.STALL_S_MAX", 0.2)
    many = event_of(**chunk([{"index": 0, "delta": {"content": "x" * 1_000}}])) * 40_000
    desk.provider.script = Script(raw=many, split_at=range(0, len(many), 64 * 1024))
    async with opened(desk) as response:
        await response.content.readany()
        await asyncio.wait_for(desk.provider.received[0].disconnected.wait(), 5)
        assert (await desk.settled(response.headers["x-gateway-completion-id"]))["end_reason"] == "client_gone"
        with pytest.raises(ClientError):
            await response.read()


async def test_a_long_stream_reports_its_progress(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.progress.REPORT_EVERY_S", 0.05)
    content = streamed(Script(), {})
    desk.provider.script = Script(raw=content, split_at=(len(content) // 2,), pause_s=0.3)
    answer = await ask(desk)
    recorded = await desk.events(answer.headers["x-gateway-completion-id"])
    assert [event["topic"] for event in recorded] == ["completion.admitted.v1", "completion.progressed.v1", "completion.settled.v1"]
    assert recorded[1]["data"]["output_tokens"] > 0


async def test_many_streams_wait_at_once_and_all_are_settled(desk: Desk) -> None:
    desk.provider.hold()
    asking = [asyncio.create_task(ask(desk)) for _ in range(100)]
    await desk.provider.until_received(100)
    desk.provider.release()
    answers = await asyncio.gather(*asking)
    assert {text(answer.raw) for answer in answers} == {"Hello there, friend"}
    assert not desk.world.runs.tasks
    assert [event["data"]["end_reason"] for event in await desk.recorded("completion.settled.v1")] == ["completed"] * 100
