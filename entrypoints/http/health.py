"""Is it well? /live: the loop turns. /ready: it may decide. /metrics: what it has done, by method, route and status alone."""

import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from application.ports import Log
from entrypoints.http.keys import METRICS, VERSION, WORLD
from entrypoints.http.wire import Row, answer

CHECKS: Final = ("log", "api_key_service", "model_service")
"""Keys and models are folded from the log: they are as well as it is."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


async def health(request: web.Request) -> web.Response:
    return answer({"status": "healthy", "version": request.app[VERSION]})


async def live(_request: web.Request) -> web.Response:
    return web.Response()


async def ready(request: web.Request) -> web.Response:
    began = time.monotonic()
    world = request.app[WORLD]
    trouble = "this process is stopping" if world.runs.draining else world.log.ready()
    state: Row = {"status": "healthy"} if trouble is None else {"status": "unhealthy", "message": trouble}
    latency_ms = round((time.monotonic() - began) * 1_000, 3)
    checks = [{"name": name, "latency_ms": latency_ms} | state for name in CHECKS]
    row = {"status": state["status"], "version": request.app[VERSION], "checks": checks, "latency_ms": latency_ms}
    return answer(row, status=200 if trouble is None else 503)


async def metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(request.app[METRICS]), headers={"Content-Type": CONTENT_TYPE_LATEST})


def count_requests(registry: CollectorRegistry, log: Log) -> Middleware:
    """A middleware that measures. A label never holds what a client wrote: routes by their pattern, methods from a list."""
    requests = Counter("gateway_http_requests", "HTTP requests answered", ["method", "route", "status"], registry=registry)
    seconds = Histogram("gateway_http_request_seconds", "Until an answer's end", ["route"], registry=registry, buckets=SECONDS_BUCKETS)
    Gauge("gateway_ready", "1 while this process may decide", registry=registry).set_function(lambda: float(log.ready() is None))

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
            requests.labels(request.method if request.method in METHODS else "other", route, status).inc()
            seconds.labels(route).observe(time.monotonic() - began)

    return measure


ROUTES: Final = (
    web.get("/health", health),
    web.get("/live", live),
    web.get("/ready", ready),
    web.get("/metrics", metrics),
)
