"""Gateways in processes of their own on one PostgreSQL that can be killed and put back, before one scripted provider."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

from adapters.log.auditing import Report, verify
from infra.child_server import PROC
from infra.embedded import RunningValkey
from infra.postgres import migrate
from tests.gateway_process import Serving, environment, serving
from tests.log.database import Stored, sound
from tests.log.server import Server
from tests.scripted_provider import Script, ScriptedProvider, streamed

ADMIN_KEY: Final = "key-of-the-recovery-journeys-0001"
DEAD_AFTER_S: Final = 3.0
WAIT_S: Final = 40.0
WORKER: Final = b"entrypoints.worker\0worker\0"
INPUT_NANOS, OUTPUT_NANOS = 1_000, 2_000
"""What a token costs."""
OUTPUT_TOKENS_MAX: Final = 2_000
RECOVERED_OUTPUT_TOKENS: Final = 1_024
"""What a stream that reported no progress is charged for its answer."""
COST_NANOS: Final = 10 * INPUT_NANOS + 5 * OUTPUT_NANOS
"""Of a stream that came to its end."""
CHAT: Final = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
MODEL: Final = {
    "id": "m",
    "name": "M",
    "provider": "openai",
    "provider_model": "up",
    "credential_id": "openai-default",
    "price": {"input_usd_per_million": 1, "output_usd_per_million": 2},
    "config": {"max_tokens": OUTPUT_TOKENS_MAX},
}
BUDGET: Final = {"id": "b", "name": "B", "period": "lifetime", "hard_limit_usd": 1000, "at_limit": "reject"}
UNENDING: Final = Script(cut_after_bytes=200, endless=True)
"""One event, and then silence."""


def halved(until: asyncio.Event | None = None) -> Script:
    """A stream whose second half comes when it may."""
    whole = streamed(Script(), CHAT | {"stream_options": {"include_usage": True}})
    return Script(raw=whole, split_at=(len(whole) // 2,), until=until)


@dataclass
class Gateway:
    """One process, and a client of it."""

    running: Serving
    client: httpx.AsyncClient

    async def stream(self) -> str:
        """What has come when it ended, in order or not: the error is the last word."""
        came = ""
        try:
            async with self.client.stream("POST", "/v1/chat/completions", json=CHAT) as answer:
                async for part in answer.aiter_text():
                    came += part
        except httpx.HTTPError as broken:
            came += type(broken).__name__
        return came

    def streams(self, count: int) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.stream()) for _ in range(count)]

    def signal(self, number: signal.Signals) -> None:
        """To whoever answers HTTP."""
        for pid in self._workers():
            os.kill(pid, number)

    async def kill_worker(self) -> None:
        self.signal(signal.SIGKILL)
        await asyncio.sleep(0.1)

    async def kill_all(self) -> None:
        """The supervisor first: it would start the others again."""
        for pid in [self.running.process.pid, *descendants(self.running.process.pid)]:
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.running.process.wait)

    def _workers(self) -> list[int]:
        own = self.running.process.pid
        return [pid for pid in descendants(own) if WORKER in (PROC / str(pid) / "cmdline").read_bytes()] or [own]


@dataclass
class Scene:
    """All of it; the log is read past the gateways."""

    server: Server
    provider: ScriptedProvider
    home: Path
    environ: dict[str, str]
    started: int = 0
    parts: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self, count: int = 1) -> list[Gateway]:
        return list(await asyncio.gather(*(self._start() for _ in range(count))))

    async def _start(self) -> Gateway:
        """As on a machine of its own: a home has one gateway."""
        stack, self.started = ExitStack(), self.started + 1
        environ = self.environ | {"GATEWAY_HOME": f"{self.home}-{self.started}"}
        self.parts.push_async_callback(asyncio.to_thread, stack.close)
        running = await asyncio.to_thread(stack.enter_context, serving(environ))
        headers = {"Authorization": f"Bearer pk_test_{ADMIN_KEY}"}
        limits = httpx.Limits(max_connections=None)
        client = httpx.AsyncClient(base_url=running.url, headers=headers, trust_env=False, timeout=WAIT_S, limits=limits)
        return Gateway(running, await self.parts.enter_async_context(client))

    async def furnish(self, gateway: Gateway) -> None:
        for path, body in (("/admin/models", MODEL), ("/admin/budgets", BUDGET)):
            answer = await gateway.client.post(path, json=body)
            assert answer.status_code in (200, 201), answer.text

    async def under_way(self, count: int) -> None:
        """So many requests have reached the provider, and their first half has been sent."""
        await self.provider.until_received(count, WAIT_S)
        await until(lambda: sum(received.sent_bytes > 0 for received in self.provider.received) >= count)

    def rows(self, topic: str = "") -> list[Stored]:
        return [row for row in sound(self.server.url) if topic in ("", row.topic)]

    async def until_settled(self, count: int) -> None:
        await self.until_recorded(lambda rows: len(endings(rows)) >= count)

    async def until_recorded(self, condition: Callable[[list[Stored]], bool]) -> None:
        await until_async(lambda: asyncio.to_thread(lambda: condition(self.rows())))

    def verified(self) -> Report:
        report = verify(self.server.url)
        assert report.findings == []
        return report

    async def settled_and_held(self, gateway: Gateway) -> tuple[int, int]:
        """As the gateway's own ledger has it."""
        row = (await gateway.client.get("/admin/budgets/b")).json()
        return row["settled_nanos"], row["held_nanos"]

    async def until_it_says(self, gateway: Gateway, settled: int) -> None:
        """Its ledger follows the log, and holds nothing any more."""

        async def says() -> bool:
            return await self.settled_and_held(gateway) == (settled, 0)

        await until_async(says)


@asynccontextmanager
async def scene(server: Server, provider: ScriptedProvider, valkey: RunningValkey, home: Path, **settings: str) -> AsyncIterator[Scene]:
    environ = environment(
        home,
        DATABASE_URL=server.url,
        REDIS_URL=valkey.url,
        LOCAL_MODEL="no",
        OPENAI_API_KEY="sk-upstream",
        OPENAI_BASE_URL=provider.url,
        ADMIN_API_KEY=ADMIN_KEY,
        DEAD_AFTER_S=str(DEAD_AFTER_S),
        DRAIN_S="1",
    )
    staged = Scene(server, provider, home, environ | settings)
    async with staged.parts:
        yield staged


def endings(rows: list[Stored]) -> Counter[str]:
    """By stream, how often it was settled."""
    return Counter(row.stream for row in rows if row.topic == "completion.settled.v1")


def state(row: Stored) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(row.state)
    return loaded


def recounted(rows: list[Stored]) -> tuple[int, int]:
    """What is settled and held on the budget, counted from the stored JSON and by nothing of the gateway's."""
    settled, held = 0, Counter[str]()
    for row in rows:
        event = state(row) if row.topic.startswith("completion.") else {}
        match row.topic:
            case "completion.admitted.v1":
                held[row.stream] += sum(hold["nanos"] for hold in event.get("holds", ()))
            case "completion.readmitted.v1":
                held[row.stream] += sum(hold["nanos"] for hold in event["admitted"].get("holds", ()))
            case "completion.settled.v1":
                settled += sum(outcome["spent_nanos"] for outcome in event.get("holds", ()))
                del held[row.stream]
            case "completion.corrected.v1":
                settled += sum(outcome["moved_nanos"] for outcome in event.get("holds", ()))
    return settled, sum(held.values())


def recovered(rows: list[Stored]) -> list[dict[str, Any]]:
    return [event for row in rows if row.topic == "completion.settled.v1" and (event := state(row)).get("recovered")]


def owners(rows: list[Stored]) -> dict[str, str]:
    """By stream, the process that admitted it."""
    return {row.stream: state(row)["owner"] for row in rows if row.topic == "completion.admitted.v1"}


async def until(condition: Callable[[], bool], within_s: float = WAIT_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (it happens in other processes)
            await asyncio.sleep(0.02)


async def until_async(condition: Callable[[], Awaitable[bool]], within_s: float = WAIT_S) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def descendants(pid: int) -> list[int]:
    """Parents before children."""
    children = [int(child) for task in (PROC / str(pid) / "task").iterdir() for child in (task / "children").read_text().split()]
    return [each for child in children for each in (child, *descendants(child))]


def emptied(url: str) -> None:
    """As at the first start. Nobody is connected."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    migrate(url)


def silence(url: str, process_id: str) -> None:
    """The server ends the session that shows a process to be alive, as it does by itself after some seconds without a word."""
    with psycopg.connect(url, autocommit=True) as admin:
        ended = admin.execute(
            """
            SELECT pg_terminate_backend(pid, 5000) FROM pg_locks JOIN stored_events ON originator_id = %s AND originator_version = 1
            WHERE locktype = 'advisory' AND granted
              AND (classid::bigint << 32) | objid::bigint = (convert_from(state, 'UTF8')::json ->> 'lock_key')::bigint
            """,
            (f"main/process/{process_id}",),
        ).fetchall()
    assert ended == [(True,)]
