"""OpenAI's API, as its SDKs understand it: chat completions and models."""

import asyncio
import math
from typing import Any, Final, NoReturn

import orjson
from aiohttp import hdrs, web

from application.attempts import Ending
from application.completions import Ask, Run, asked
from application.end_users import end_user
from application.freshness import confirmed
from application.ports import ProviderFailure
from application.world import World
from domain.admission.directory import Caller, find_model, visible_models
from domain.admission.rates import rate_standing
from domain.completion.events import EndReason
from domain.errors import Forbidden, Invalid, NotFound, Refusal
from domain.ids import ORG_DEFAULT, ModelId
from domain.model.model import Model
from domain.money import usd_text
from domain.time import unix_seconds
from entrypoints.http.authentication import client
from entrypoints.http.chat_request import parse
from entrypoints.http.conditions import idempotency, request_digest
from entrypoints.http.errors import ErrorAnswer, of_refusal
from entrypoints.http.headers import request_id
from entrypoints.http.keys import DIGEST_KEY, WORLD
from entrypoints.http.server_sent_events import DONE, EventStream

JSON: Final = "application/json"
NAME_SHOWN_LENGTH_MAX: Final = 100


async def chat_completions(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    received_at = world.clock.monotonic()
    caller = await counted_client(request)
    try:
        run = await asked(world, await read_ask(request, caller, received_at))
        return await (streamed(request, run) if run.ask.stream else plain(run))
    except Refusal as refusal:
        world.refusals.count(caller.api_key_id, refusal, request_id(request), world.clock.monotonic())
        answer = of_refusal(refusal)
        return answer._replace(headers={**answer.headers, **rate_headers(world, caller)}).response()


async def counted_client(request: web.Request) -> Caller:
    """Whose key is refused is not known: all such refusals are one count."""
    try:
        return await client(request)
    except Refusal as refusal:
        world = request.app[WORLD]
        world.refusals.count(None, refusal, request_id(request), world.clock.monotonic())
        raise


async def read_ask(request: web.Request, caller: Caller, received_at: float) -> Ask:
    if request.query.get("async", "false") != "false":
        raise Invalid("'async' is not supported on this endpoint.", param="async")
    if request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower() != JSON:
        raise web.HTTPUnsupportedMediaType
    chat = parse(await request.read())
    known(chat.model_id)
    once = await idempotency(request, f"key:{caller.api_key_id}")
    return Ask(
        request_id=request_id(request),
        caller=caller,
        model_id=chat.model_id,
        body=chat.body,
        output_cap=chat.output_cap,
        choices=chat.choices,
        stream=chat.stream,
        include_usage=chat.include_usage,
        received_at=received_at,
        end_user=None if chat.end_user is None else end_user(request.app[DIGEST_KEY], ORG_DEFAULT, chat.end_user),
        idempotency=once,
        request_digest=once.digest if once is not None else await request_digest(request),
    )


async def plain(run: Run) -> web.Response:
    run.begin(None)
    ending = await ended(run)
    if ending.failure is not None:
        return of_failure(ending.failure, headers(run)).response()
    return web.Response(body=ending.body, content_type=JSON, headers=headers(run) | cost_header(run))


async def streamed(request: web.Request, run: Run) -> web.StreamResponse:
    stream = EventStream(request, headers=lambda: headers(run), may_begin=lambda: run.admitted is not None, leave=run.leave)
    run.begin(stream)
    try:
        ending = await ended(run)
    finally:
        stream.stop()
    if ending.reason is EndReason.CLIENT_GONE:
        cut_off(request)
    if ending.failure is None:
        return await stream.finish(DONE)
    answer = of_failure(ending.failure, headers(run))
    return await stream.finish(b"data: %b\n\n" % answer.body()) if stream.begun else answer.response()


def cut_off(request: web.Request) -> NoReturn:
    """A client that reads nothing would not read an end either; nor may it take what it got for the whole."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


async def ended(run: Run) -> Ending:
    try:
        return await run.answered
    except asyncio.CancelledError:
        run.leave()
        raise


async def models(request: web.Request) -> web.Response:
    caller = await client(request)
    world = request.app[WORLD]
    rows = [row(name, model) for name, model in visible_models(world.log.view, caller)]
    return web.Response(body=orjson.dumps({"object": "list", "data": rows}), content_type=JSON)


async def one_model(request: web.Request) -> web.Response:
    caller = await client(request)
    world, name = request.app[WORLD], request.match_info["model_id"]
    known(name)
    try:
        model = await confirmed(world.log, lambda: find_model(world.log.view, caller, name, world.clock.now()))
    except Forbidden:
        raise unknown(name) from None
    return web.Response(body=orjson.dumps(row(name, model)), content_type=JSON)


ROUTES: Final = (
    web.post("/v1/chat/completions", chat_completions),
    web.get("/v1/models", models, allow_head=False),
    web.get("/v1/models/{model_id:.+}", one_model, allow_head=False),
)


def known(name: str) -> None:
    """What is no id can be no model's."""
    if not ModelId.pattern.fullmatch(name):
        raise unknown(name)


def unknown(name: str) -> NotFound:
    """Of a long name, the beginning is enough to recognise it."""
    message = f"The model `{name[:NAME_SHOWN_LENGTH_MAX]}` does not exist or you do not have access to it."
    return NotFound(message, param="model", code="model_not_found")


def row(name: str, model: Model) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": unix_seconds(model.created_at), "owned_by": model.content.provider}


def of_failure(failure: ProviderFailure, with_headers: dict[str, str]) -> ErrorAnswer:
    if failure.retry_after is not None:
        with_headers = {**with_headers, hdrs.RETRY_AFTER: failure.retry_after}
    return ErrorAnswer(failure.status, failure.message, failure.type, failure.param, failure.code, with_headers)


def headers(run: Run) -> dict[str, str]:
    """Of everything that comes after an admission."""
    shown = {"x-gateway-completion-id": str(run.completion_id)}
    if run.overhead_ms is not None:
        shown["x-gateway-overhead-ms"] = f"{run.overhead_ms:.3f}"
    if run.attempt is not None and run.attempt.dropped:
        shown["x-gateway-dropped-parameters"] = ", ".join(run.attempt.dropped)
    if run.admitted is not None and run.admitted.output_cap_chosen and run.admitted.output_cap < run.model.content.max_output_tokens:
        shown["x-gateway-max-tokens"] = str(run.admitted.output_cap)
    return shown | rate_headers(run.world, run.ask.caller)


def cost_header(run: Run) -> dict[str, str]:
    """Absent where the price is unknown, or where the settlement took too long to be waited for."""
    if run.settled is None or run.settled.cost_nanos is None:
        return {}
    return {"x-gateway-cost-usd": usd_text(run.settled.cost_nanos)}


def rate_headers(world: World, caller: Caller) -> dict[str, str]:
    """As OpenAI names them; none where the key has no such limit."""
    standing = rate_standing(world.log.view, caller.api_key_id, world.clock.now())
    shown: dict[str, str] = {}
    for name, of in (("requests", standing.requests), ("tokens", standing.tokens)):
        if of is not None:
            shown[f"x-ratelimit-limit-{name}"] = str(of.limit)
            shown[f"x-ratelimit-remaining-{name}"] = str(of.remaining)
            shown[f"x-ratelimit-reset-{name}"] = f"{math.ceil(of.reset.total_seconds())}s"
    return shown
