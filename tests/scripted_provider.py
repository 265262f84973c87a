"""A provider that tests script: a real HTTP server speaking OpenAI's chat completions, or whatever else it is told to."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
from aiohttp import web

USAGE: Mapping[str, Any] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
"""Where a script names none."""
UPSTREAM_MODEL = "upstream-model-2026"
"""What the provider calls its model: clients must never see it."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """How one request is answered. `raw`, where given, replaces what would be sent."""

    text: str = "Hello there, friend"
    usage: Mapping[str, Any] | None = field(default_factory=lambda: USAGE)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    split_at: Sequence[int] = ()
    """Byte positions of the body at which a new write begins."""
    pause_s: float = 0.0
    """Before each write but the first."""
    until: asyncio.Event | None = None
    """Each write but the first waits for it."""
    head_after_s: float = 0.0
    cut_after_bytes: int | None = None
    """Then the connection is cut."""
    endless: bool = False
    """After what there is, silence, and no end."""


Choose = Callable[[dict[str, Any]], Script]


@dataclass
class Received:
    """A request as it came."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    path: str
    raw_path: str = ""
    """As it was written, with its query."""
    sent_bytes: int = 0
    """Of the answer's body, as far as the caller takes it."""
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the caller went away before the answer's end."""


class ScriptedProvider:
    """Answers as `script` says, or as the queued scripts say, one each."""

    def __init__(self) -> None:
        self.script = Script()
        self.queued: deque[Script] = deque()
        self.received: list[Received] = []
        self._arrived = asyncio.Condition()
        self.released = asyncio.Event()
        self.released.set()
        self.url = ""
        self.connections: set[object] = set()
        """Each connection that a request came on."""

    def hold(self) -> None:
        """No answer begins until `release`."""
        self.released.clear()

    def release(self) -> None:
        self.released.set()

    async def until_received(self, count: int, within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        received = Received(body=await request.json(), headers=dict(request.headers), path=request.path, raw_path=request.raw_path)
        async with self._arrived:
            self.received.append(received)
            self._arrived.notify_all()
        self.connections.add(request.transport)
        script = self.queued.popleft() if self.queued else self.script
        try:
            await self.released.wait()
            await asyncio.sleep(script.head_after_s)
            return await self._send(request, script, received)
        except (asyncio.CancelledError, ConnectionError):
            received.disconnected.set()
            raise

    async def _send(self, request: web.Request, script: Script, received: Received) -> web.StreamResponse:
        body = received.body
        stream = bool(body.get("stream")) and script.status == 200
        response = web.StreamResponse(
            status=script.status, headers={"Content-Type": "text/event-stream" if stream else "application/json", **script.headers}
        )
        await response.prepare(request)
        content = script.raw if script.raw is not None else streamed(script, body) if stream else plain(script)
        if script.cut_after_bytes is not None:
            content = content[: script.cut_after_bytes]
        for number, piece in enumerate(pieces(content, script.split_at)):
            if number:
                await asyncio.sleep(script.pause_s)
                if script.until is not None:
                    await script.until.wait()
            await response.write(piece)
            received.sent_bytes += len(piece)
        if script.endless:
            await asyncio.Event().wait()
        if script.cut_after_bytes is not None:
            await asyncio.sleep(0.01)
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write_eof()
        return response


def pieces(content: bytes, split_at: Sequence[int]) -> list[bytes]:
    edges = [0, *split_at, len(content)]
    return [content[begin:end] for begin, end in pairwise(edges) if begin < end]


def plain(script: Script) -> bytes:
    answer: dict[str, Any] = {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": UPSTREAM_MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": script.text}, "finish_reason": "stop"}],
    }
    return orjson.dumps(answer if script.usage is None else answer | {"usage": dict(script.usage)})


def streamed(script: Script, body: Mapping[str, Any]) -> bytes:
    """A role, each word, the end, and the usage if it was asked for."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in script.text.replace(" ", "\0 ").split("\0")]
    chunks = [chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    chunks.append(chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    if script.usage is not None and (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(chunk([], usage=dict(script.usage)))
    return b"".join(b"data: %b\n\n" % orjson.dumps(each) for each in chunks) + b"data: [DONE]\n\n"


def chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": UPSTREAM_MODEL,
        "choices": choices,
        **more,
    }


@asynccontextmanager
async def scripted_provider() -> AsyncIterator[ScriptedProvider]:
    provider = ScriptedProvider()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{path:.*}", provider.answer)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()
