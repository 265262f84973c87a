"""A call of a provider as a deed: sent, read or relayed to its end; whatever happens becomes an ending."""

import asyncio
import logging
import traceback
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple

from application.attempts import Attempt, Ending, Outcome, Used, charged, estimated, left_behind, made, seen
from application.ports import Provider, ProviderFailure, StreamParser, Target, UpstreamBroken, WireAnswer, WireRequest
from application.world import World
from domain.completion.events import EndReason
from domain.credential.credential import CREDENTIALS, Status
from domain.errors import Invalid, Unavailable
from domain.model.model import MODELS, Model
from domain.time import unix_seconds

OK: Final = 200
SERVER_ERRORS: Final = 500
ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
ERROR_BYTES_MAX: Final = 64 * 1024
DEFAULTS: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
"""Of a model's config; the cap of the output is the ledger's."""

UNAVAILABLE: Final = "service_unavailable_error"
UNREACHABLE: Final = ProviderFailure(503, "The provider can't be reached.", UNAVAILABLE, "provider_unreachable")
TIMED_OUT: Final = ProviderFailure(504, "The provider took too long to answer.", "server_error", "provider_timeout")
BROKEN_OFF: Final = ProviderFailure(502, "The provider's answer broke off.", "server_error", "provider_error")
UNREADABLE: Final = ProviderFailure(502, "The provider's answer can't be read.", "server_error", "provider_error")
OUR_FAULT: Final = ProviderFailure(500, "The gateway failed on this request.", "server_error")
SIGNED_WITH: Final = {"aws": "aws_bedrock"}
"""Secrets that are the machine's own go to the one provider that signs with them: another would send them to its endpoint as they are."""

NO_PROVIDER: Final = ProviderFailure(503, "This gateway does not speak to the model's provider.", UNAVAILABLE, "provider_unknown")
NO_CREDENTIAL: Final = ProviderFailure(503, "The model's credential is not available.", UNAVAILABLE, "credential_unavailable")

log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A model as it is after the admission, its translator, and where its calls go."""

    model: Model
    provider: Provider
    target: Target


class NotSent(Exception):  # noqa: N818
    """There was nobody to send it to, or it can't be said to them."""

    def __init__(self, failure: ProviderFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


async def call(world: World, attempt: Attempt) -> Ending:
    """Never raises: whatever happens is an ending. Cancelled, it cancels the provider's work, and that is an ending too."""
    answer: WireAnswer | None = None
    try:
        opened = await _opened(world, attempt)
        wire = _translated(attempt, opened)
        attempt.request_bytes, attempt.dropped, attempt.dispatched_at = len(wire.body), wire.dropped, world.clock.monotonic()
        answer = await world.transport.post(wire, silence_max=_silence_max(opened.model))
        attempt.status = answer.status
        if answer.status != OK:
            ending = await _refused(world, attempt, answer, opened)
        elif attempt.chat.stream:
            attempt.parser = opened.provider.stream(opened.target, include_usage=attempt.include_usage)
            ending = await _relayed(world, attempt, answer, attempt.parser)
        else:
            ending = await _read(world, attempt, answer, opened)
    except UpstreamBroken as broken:
        ending = _broken(world, attempt, broken)
    except NotSent as nowhere:
        ending = Ending(EndReason.NOT_SENT, None, failure=nowhere.failure)
    except (asyncio.CancelledError, ConnectionError):
        ending = _left(world, attempt)
    except Exception as error:  # noqa: BLE001 (what was admitted must be settled)
        _note(error)
        ending = _our_fault(world, attempt)
    if answer is not None and ending.rest is None:
        await answer.close()
    return ending


async def _opened(world: World, attempt: Attempt) -> Opened:
    view = world.log.view
    model = view.get(MODELS, attempt.model_id)
    credential = None if model is None else view.get(CREDENTIALS, model.content.credential_id)
    if model is None or credential is None or credential.status is not Status.ENABLED:
        raise NotSent(NO_CREDENTIAL)
    content = model.content
    attempt.provider = content.provider
    provider = world.providers.get(content.provider)
    if provider is None:
        raise NotSent(NO_PROVIDER)
    if SIGNED_WITH.get(credential.secret.source, content.provider) != content.provider:
        raise NotSent(NO_CREDENTIAL)
    try:
        secret = await world.secrets.reveal(credential.secret)
    except Unavailable:
        raise NotSent(NO_CREDENTIAL) from None
    target = Target(
        model_id=attempt.model_id,
        provider_model=content.provider_model,
        endpoint=credential.endpoint,
        secret=secret,
        defaults={name: value for name in DEFAULTS if (value := getattr(content.config, name)) is not None},
        deployment=credential.deployment,
        drop_unsupported=bool(content.config.drop_unsupported),
        created=unix_seconds(world.clock.now()),
        legacy_functions=attempt.chat.body.get("functions") is not None,
    )
    return Opened(model, provider, target)


def _translated(attempt: Attempt, opened: Opened) -> WireRequest:
    """What the provider can't do is refused before it hears of it."""
    try:
        return opened.provider.request(attempt.chat, opened.target)
    except Invalid as wrong:
        failure = ProviderFailure(400, wrong.message, "invalid_request_error", wrong.code, wrong.param)
        raise NotSent(failure) from None
    except Unavailable:
        raise NotSent(NO_CREDENTIAL) from None


async def _read(world: World, attempt: Attempt, answer: WireAnswer, opened: Opened) -> Ending:
    body = await answer.read(ANSWER_BYTES_MAX)
    attempt.first_byte_at = world.clock.monotonic()
    try:
        answered = opened.provider.answer(body, opened.target)
    except ValueError:
        return Ending(EndReason.PROVIDER_ERROR, made(world, attempt, "unknown", charged(attempt)), failure=UNREADABLE)
    if answered.usage is None:
        usage = Used(estimated(attempt, answered.output_tokens_seen), "estimated")
    else:
        usage = Used(answered.usage, "reported", answered.raw_usage)
    return Ending(EndReason.COMPLETED, made(world, attempt, "succeeded", usage), body=answered.body, rest=answer)


async def _relayed(world: World, attempt: Attempt, answer: WireAnswer, parser: StreamParser) -> Ending:
    async for data in answer.chunks():
        await _forward(world, attempt, parser.feed(data))
        if parser.done or parser.failure is not None:
            break
    else:
        await _forward(world, attempt, parser.end())
    if parser.done:
        return Ending(EndReason.COMPLETED, made(world, attempt, "succeeded", seen(attempt)), rest=answer)
    if parser.failure is not None and not parser.content_begun:
        return Ending(EndReason.PROVIDER_ERROR, made(world, attempt, "failed", error_code=parser.failure.code), failure=parser.failure)
    return Ending(EndReason.CUT, made(world, attempt, "unknown", left_behind(attempt)), failure=parser.failure or BROKEN_OFF)


async def _forward(world: World, attempt: Attempt, data: bytes) -> None:
    if not data:
        return
    if attempt.first_byte_at is None:
        attempt.first_byte_at = world.clock.monotonic()
    if attempt.client is not None:
        await attempt.client.send(data)


async def _refused(world: World, attempt: Attempt, answer: WireAnswer, opened: Opened) -> Ending:
    """The provider said no, or failed; its words are shown without the secret and the address that they may quote."""
    failure = opened.provider.failure(answer.status, answer.headers, await answer.read(ERROR_BYTES_MAX))
    for private in filter(None, (opened.target.secret, opened.target.endpoint)):
        failure = replace(failure, message=failure.message.replace(private, "***"))
    outcome: Outcome = "failed" if answer.status >= SERVER_ERRORS else "refused"
    return Ending(EndReason.PROVIDER_ERROR, made(world, attempt, outcome, error_code=failure.code), failure=failure)


def _broken(world: World, attempt: Attempt, broken: UpstreamBroken) -> Ending:
    if not broken.sent:
        return Ending(EndReason.PROVIDER_ERROR, made(world, attempt, "failed", error_code=UNREACHABLE.code), failure=UNREACHABLE)
    reason, failure = (EndReason.TIMED_OUT, TIMED_OUT) if broken.timed_out else (EndReason.CUT, BROKEN_OFF)
    return Ending(reason, made(world, attempt, "unknown", left_behind(attempt), error_code=failure.code), failure=failure)


def _left(world: World, attempt: Attempt) -> Ending:
    """The client is gone. What the provider did until then is paid."""
    if attempt.dispatched_at is None:
        return Ending(EndReason.NOT_SENT, None)
    return Ending(EndReason.CLIENT_GONE, made(world, attempt, "succeeded" if attempt.status == OK else "unknown", seen(attempt)))


def _our_fault(world: World, attempt: Attempt) -> Ending:
    if attempt.dispatched_at is None:
        return Ending(EndReason.NOT_SENT, None, failure=OUR_FAULT)
    return Ending(EndReason.CUT, made(world, attempt, "unknown", seen(attempt)), failure=OUR_FAULT)


def _note(error: Exception) -> None:
    """Where it failed, without the error's own text: that may quote what the client sent."""
    log.error("an attempt failed with %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


def _silence_max(model: Model) -> timedelta | None:
    timeout_ms = model.content.config.timeout_ms
    return None if timeout_ms is None else timedelta(milliseconds=timeout_ms)
