"""Is it well? /live: the loop turns. /ready: it may decide. /metrics: what all processes of this machine have done."""

import asyncio
import time
from functools import cache
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from entrypoints.http.keys import CONDITIONS, MEASURES, PROCESS, VERSION, WORLD
from entrypoints.http.wire import Row, answer
from entrypoints.measuring import Measures

CHECKS: Final = ("log", "api_key_service", "model_service")
"""Keys and models are folded from the log: they are as well as it is."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def health(request: web.Request) -> web.Response:
    return answer({"status": "healthy", "version": request.app[VERSION]})


async def live(_request: web.Request) -> web.Response:
    return web.Response()


async def ready(request: web.Request) -> web.Response:
    """What the gateway can do without for a while makes it degraded, and no less ready."""
    began = time.monotonic()
    world = request.app[WORLD]
    trouble = "this process is stopping" if world.runs.draining else world.log.ready()
    latency_ms = round((time.monotonic() - began) * 1_000, 3)
    checks = [_check(name, trouble, "unhealthy") | {"latency_ms": latency_ms} for name in CHECKS]
    checks += [_check(name, lacking, "degraded") for name, lacking in request.app[CONDITIONS].items()]
    states = {check["status"] for check in checks}
    status = next((state for state in ("unhealthy", "degraded") if state in states), "healthy")
    row = {"status": status, "version": request.app[VERSION], "process": request.app[PROCESS], "checks": checks, "latency_ms": latency_ms}
    return answer(row, status=200 if trouble is None else 503)


def _check(name: str, trouble: str | None, state: str) -> Row:
    return {"name": name, "status": "healthy"} if trouble is None else {"name": name, "status": state, "message": trouble}


async def metrics(request: web.Request) -> web.Response:
    world, measures = request.app[WORLD], request.app[MEASURES]
    measures.ready.set(world.log.ready() is None)
    # In a thread: the files of many processes take a while to read.
    text = await asyncio.to_thread(measures.text, world.log.view, world.clock.now())
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def count_requests(measures: Measures) -> Middleware:
    """A middleware that measures. A label never holds what a client wrote: routes by their pattern, methods from a list."""
    answered, took = cache(measures.http_requests.labels), cache(measures.http_seconds.labels)

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, status = time.monotonic(), "gone"
        try:
            response = await handler(request)
            status = str(response.status)
            return response
        finally:
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "none"
            answered(request.method if request.method in METHODS else "other", route, status).inc()
            took(route).observe(time.monotonic() - began)

    return measure


ROUTES: Final = (
    web.get("/health", health),
    web.get("/live", live),
    web.get("/ready", ready),
    web.get("/metrics", metrics),
)
