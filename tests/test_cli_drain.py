"""Told to stop, `gateway serve` lets what runs come to its end, up to a limit; and settles what it cuts off."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from adapters.log.auditing import verify
from infra.embedded import RunningValkey
from tests.gateway_process import Serving, environment, serving
from tests.scripted_provider import Script, ScriptedProvider, scripted_provider

PRICE = {"input_usd_per_million": 1, "output_usd_per_million": 2}
MODEL = {"id": "m", "name": "M", "provider": "openai", "provider_model": "up", "credential_id": "openai-default", "price": PRICE}
UNENDING = Script(cut_after_bytes=200, endless=True)
"""One event, and then silence."""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


@dataclass
class Busy:
    """A gateway in a process of its own, with one stream under way."""

    running: Serving
    client: httpx.AsyncClient
    provider: ScriptedProvider
    database_url: str

    async def stream(self) -> str:
        async with self.client.stream("POST", "/v1/chat/completions", json=CHAT) as answer:
            return "".join([part async for part in answer.aiter_text()])

    async def ended(self) -> int:
        return await asyncio.to_thread(self.running.process.wait, 30)

    def end_reasons(self) -> list[Any]:
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute(
                "SELECT convert_from(state, 'UTF8')::json ->> 'end_reason' FROM stored_events WHERE topic = 'completion.settled.v1'"
            ).fetchall()
        return [reason for (reason,) in rows]


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with scripted_provider() as provider:
        yield provider


@pytest.fixture
async def busy(provider: ScriptedProvider, database_url: str, valkey: RunningValkey, tmp_path: Path) -> AsyncIterator[Busy]:
    config = tmp_path / "gateway.toml"
    config.write_text('openai_api_key = "sk-upstream"')
    environ = environment(
        tmp_path / "home",
        DATABASE_URL=database_url,
        REDIS_URL=valkey.url,
        LOCAL_MODEL="no",
        GATEWAY_CONFIG=str(config),
        OPENAI_BASE_URL=provider.url,
        DRAIN_ACCEPT_S="0.5",
        DRAIN_S="1",
    )
    with ExitStack() as stack:
        running = await asyncio.to_thread(stack.enter_context, serving(environ))
        headers = {"Authorization": f"Bearer {running.secret}"}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, trust_env=False, timeout=30) as client:
            (await client.post("/admin/models", json=MODEL)).raise_for_status()
            yield Busy(running, client, provider, database_url)


async def test_a_stream_under_way_comes_to_its_end_while_the_gateway_is_not_ready(busy: Busy) -> None:
    busy.provider.hold()
    stream = asyncio.create_task(busy.stream())
    await busy.provider.until_received(1)
    busy.running.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.1)
    ready = await busy.client.get("/ready")
    busy.provider.release()
    assert ready.status_code == 503
    assert "stopping" in ready.text
    assert (await stream).endswith("data: [DONE]\n\n")
    assert await busy.ended() == 0
    assert busy.end_reasons() == ["completed"]
    assert busy.provider.received[0].headers["Authorization"] == "Bearer sk-upstream"


async def test_what_takes_too_long_is_cut_off_and_settled(busy: Busy) -> None:
    busy.provider.script = UNENDING
    stream = asyncio.create_task(busy.stream())
    await busy.provider.until_received(1)
    busy.running.process.send_signal(signal.SIGTERM)
    assert await busy.ended() == 0
    with pytest.raises(httpx.HTTPError):
        await stream
    assert busy.end_reasons() == ["client_gone"]
    assert "Traceback" not in busy.running.said


async def test_a_second_signal_hurries(busy: Busy) -> None:
    busy.provider.script = UNENDING
    stream = asyncio.create_task(busy.stream())
    await busy.provider.until_received(1)
    for _ in range(2):
        busy.running.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.1)
    assert await busy.ended() == 0
    with pytest.raises(httpx.HTTPError):
        await stream
    assert busy.end_reasons() == ["client_gone"]


async def test_a_killed_worker_leaves_an_open_completion_that_verify_names(busy: Busy) -> None:
    busy.provider.hold()
    stream = asyncio.create_task(busy.stream())
    await busy.provider.until_received(1)
    assert verify(busy.database_url).verified
    os.kill(busy.running.children()["worker-1"], signal.SIGKILL)
    with pytest.raises(httpx.HTTPError):
        await stream
    (finding,) = verify(busy.database_url).findings
    assert finding.message.endswith("is not alive; it awaits recovery")
