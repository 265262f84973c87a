"""The baseline: aiohttp's server and client, uvloop, orjson and a full pydantic chat model, and nothing else.

`python -m tests.performance.bare_proxy PORT UPSTREAM_URL`
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import uvloop
from aiohttp import web
from pydantic import BaseModel


class Message(BaseModel, extra="allow"):
    role: str
    content: str | list[dict[str, Any]] | None = None


class Chat(BaseModel, extra="allow"):
    model: str
    messages: list[Message]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    user: str | None = None


SESSION = web.AppKey("session", aiohttp.ClientSession)


async def chat(request: web.Request) -> web.StreamResponse:
    body = orjson.loads(await request.read())
    asked = Chat.model_validate(body)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer upstream"}
    async with request.app[SESSION].post(f"{sys.argv[2]}/chat/completions", data=orjson.dumps(body), headers=headers) as answer:
        if not asked.stream:
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for data in answer.content.iter_any():
            await response.write(data)
        await response.write_eof()
        return response


async def session(app: web.Application) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as app[SESSION]:
        yield


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.cleanup_ctx.append(session)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, loop=uvloop.new_event_loop(), print=None, backlog=4096)
