"""A stream of server-sent events to one client: it begins with the first event, keeps silence short, and never outruns its reader."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

SILENCE_S_MAX: Final = 15.0
STALL_S_MAX: Final = 120.0
"""A client that takes nothing for so long is gone."""
DONE: Final = b"data: [DONE]\n\n"
PING: Final = b": ping\n\n"
HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would collect events
}


class EventStream:
    """Bytes not yet taken by the client are bounded: `send` waits once aiohttp's buffer and the socket's are full."""

    def __init__(
        self, request: web.Request, *, headers: Callable[[], Mapping[str, str]], may_begin: Callable[[], bool], leave: Callable[[], None]
    ) -> None:
        """`headers`: asked when it begins. `may_begin`: whether a comment may begin it. `leave`: told when the client has stalled."""
        self._request = request
        self._may_begin = may_begin
        self._headers = headers
        self._leave = leave
        self._response: web.StreamResponse | None = None
        self._opening = asyncio.Lock()
        self._writing = 0
        self._ping: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._last_at = self._loop.time()
        self._timer = self._loop.call_later(SILENCE_S_MAX, self._watch)

    @property
    def begun(self) -> bool:
        return self._response is not None

    async def send(self, data: bytes) -> None:
        response = self._response or await self._open()
        self._last_at = self._loop.time()
        self._writing += 1
        try:
            await response.write(data)
        finally:
            self._writing -= 1

    async def finish(self, last: bytes) -> web.StreamResponse:
        response = self._response or await self._open()
        await response.write_eof(last)
        return response

    def stop(self) -> None:
        """No pings from here on."""
        self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    async def _open(self) -> web.StreamResponse:
        async with self._opening:
            if self._response is None:
                response = web.StreamResponse(headers={**HEADERS, **self._headers()})
                await response.prepare(self._request)
                self._response = response
            return self._response

    def _watch(self) -> None:
        """One timer for the stream, set anew when it fires: events cost it nothing."""
        now = self._loop.time()
        silent_s = now - self._last_at
        if self._writing:
            if silent_s >= STALL_S_MAX:
                self._leave()
        elif silent_s >= SILENCE_S_MAX and self._may_begin():
            self._ping = self._loop.create_task(self._send_ping())
            silent_s = 0.0
        wait_s = SILENCE_S_MAX - silent_s if silent_s < SILENCE_S_MAX else SILENCE_S_MAX
        self._timer = self._loop.call_later(wait_s, self._watch)

    async def _send_ping(self) -> None:
        try:
            await self.send(PING)
        except ConnectionError:
            self._leave()
