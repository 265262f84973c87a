"""Every failure is OpenAI's envelope with a status of its own, and says nothing about our insides."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from aiohttp import ClientSession, ServerDisconnectedError, web
from pydantic import BaseModel

from adapters.clock import SystemClock
from application.world import World
from domain.errors import (
    BudgetExceeded,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)
from entrypoints.http.app import runner_of
from entrypoints.http.errors import answer_errors
from entrypoints.http.headers import add_headers
from entrypoints.http.keys import WORLD

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Shape(BaseModel):
    temperature: float


class OnlyAClock:
    """All of the world that errors need."""

    clock = SystemClock()


async def wrong_type(_request: web.Request) -> web.Response:
    return web.json_response(Shape.model_validate({"temperature": "the-secret"}).temperature)


async def broken(request: web.Request) -> web.Response:
    raise RuntimeError(await request.text())


async def broken_midway(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"half")
    raise Invalid("too late")


async def cancelled(_request: web.Request) -> web.Response:
    raise asyncio.CancelledError


async def reading(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


def raising(error: Exception) -> Answering:
    async def handle(_request: web.Request) -> web.Response:
        raise error

    return handle


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Answering], Awaitable[str]]]:
    runners = []

    async def serving(answering: Answering) -> str:
        app = web.Application(middlewares=[answer_errors], client_max_size=1_000)
        app[WORLD] = cast(World, OnlyAClock())
        app.on_response_prepare.append(add_headers)
        app.router.add_post("/answer", answering)
        runner = runner_of(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield serving
    for runner in runners:
        await runner.cleanup()


Serve = Callable[[Answering], Awaitable[str]]

REFUSALS: list[tuple[Exception, int, dict[str, Any], dict[str, str]]] = [
    (Invalid("no", param="name"), 400, {"message": "no", "type": "invalid_request_error", "param": "name", "code": None}, {}),
    (Unauthenticated("no"), 401, {"message": "no", "type": "authentication_error", "param": None, "code": "invalid_api_key"}, {}),
    (
        Forbidden("no", code="team_suspended"),
        403,
        {"message": "no", "type": "permission_error", "param": None, "code": "team_suspended"},
        {},
    ),
    (NotFound("no"), 404, {"message": "no", "type": "not_found_error", "param": None, "code": None}, {}),
    (Conflict("no"), 409, {"message": "no", "type": "invalid_request_error", "param": None, "code": None}, {}),
    (VersionMismatch("no"), 412, {"message": "no", "type": "invalid_request_error", "param": None, "code": None}, {}),
    (
        BudgetExceeded("Budget team-a is used up", budget_id="team-a"),
        429,
        {"message": "Budget team-a is used up", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"},
        {"x-should-retry": "false"},
    ),
    (
        RateLimited("slow down", limit="requests_per_minute", retry_after=timedelta(milliseconds=1_200)),
        429,
        {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"},
        {"Retry-After": "2"},
    ),
    (
        Unavailable("later", retry_after=timedelta(0)),
        503,
        {"message": "later", "type": "service_unavailable_error", "param": None, "code": None},
        {"Retry-After": "1"},
    ),
    (web.HTTPUnsupportedMediaType(), 415, {"type": "invalid_request_error"}, {}),
    (web.HTTPTooManyRequests(), 429, {"type": "invalid_request_error"}, {}),
]


@pytest.mark.parametrize(("refusal", "status", "error", "headers"), REFUSALS, ids=lambda value: type(value).__name__)
async def test_each_refusal_has_its_status_and_its_words(
    serve: Serve, refusal: Exception, status: int, error: dict[str, Any], headers: dict[str, str]
) -> None:
    answer, said = await _ask(await serve(raising(refusal)), "/answer")
    assert answer.status == status
    assert error.items() <= said.items()
    assert headers.items() <= dict(answer.headers).items()


async def test_an_invalid_field_is_named_and_its_value_not_repeated(serve: Serve) -> None:
    answer, said = await _ask(await serve(wrong_type), "/answer")
    assert (answer.status, said["type"], said["param"]) == (400, "invalid_request_error", "temperature")
    assert "the-secret" not in str(said)


async def test_a_failure_of_ours_is_logged_under_its_request_id_without_its_text(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer, said = await _ask(await serve(broken), "/answer", b"the-secret")
    assert (answer.status, said["type"]) == (500, "server_error")
    (record,) = caplog.records
    assert record.__dict__["request_id"] == answer.headers["x-request-id"]
    assert "in broken" in record.getMessage()
    assert "the-secret" not in caplog.text + str(said)


async def test_a_failure_after_the_first_byte_cuts_the_connection(serve: Serve) -> None:
    url = await serve(broken_midway)
    async with ClientSession() as session, session.post(f"{url}/answer") as answer:
        with pytest.raises(Exception, match=r"payload|disconnected"):
            await answer.read()


async def test_a_cancelled_handler_is_not_answered(serve: Serve) -> None:
    with pytest.raises(ServerDisconnectedError):
        await _ask(await serve(cancelled), "/answer")


async def test_a_body_over_the_limit_is_413(serve: Serve) -> None:
    url = await serve(reading)
    assert (await _ask(url, "/answer", b"x" * 1_000))[0].status == 200
    answer, said = await _ask(url, "/answer", b"x" * 1_001)
    assert (answer.status, said["type"]) == (413, "invalid_request_error")


async def test_unknown_paths_are_404_and_wrong_methods_405(serve: Serve) -> None:
    url = await serve(reading)
    answer, said = await _ask(url, "/nothing-here")
    assert (answer.status, said["type"]) == (404, "not_found_error")
    async with ClientSession() as session, session.delete(f"{url}/answer") as refused:
        assert (refused.status, refused.headers["Allow"]) == (405, "POST")
        assert set((await refused.json())["error"]) == {"message", "type", "param", "code"}


async def test_every_answer_has_a_request_id_and_tells_browsers_to_keep_out(serve: Serve) -> None:
    answer, _ = await _ask(await serve(reading), "/nothing-here")
    assert len(answer.headers["x-request-id"]) == 36
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store, no-cache, must-revalidate"
    assert "aiohttp" not in answer.headers["Server"]


async def _ask(url: str, path: str, body: bytes = b"") -> tuple[Any, dict[str, Any]]:
    async with ClientSession() as session, session.post(f"{url}{path}", data=body) as answer:
        said = await answer.json() if answer.status >= 400 else {}
        return answer, said.get("error", {})
