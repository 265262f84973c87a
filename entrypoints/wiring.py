"""Builds what runs in a process, from the log outwards, and takes it down again in reverse order."""

import asyncio
import logging
import os
import secrets
import tempfile
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web

from adapters.clock import SystemClock
from adapters.liveness import LOCK_KEY_BITS, PostgresWatch, living
from adapters.log.postgres_log import PostgresLog
from adapters.log.reading import PostgresEvents
from adapters.price_book import GenaiPrices
from adapters.projecting.advancing import prepare_live
from adapters.projecting.projector import Projector
from adapters.providers import PROVIDERS
from adapters.providers.openai import OpenAI
from adapters.read_models import ReadModels
from adapters.secrets.aws import DefaultChain
from adapters.secrets.by_source import BySource
from adapters.secrets.environment import Environment
from adapters.transport import open_transport
from application.bootstrap import Wanted, bootstrap, point_out_changes
from application.ports import Committed, Provider, Secrets
from application.reactions import record_refusals, recover_completions
from application.reactions.readmit_completions import readmit
from application.world import World
from domain.api_key.secret import TYPE_PREFIX
from domain.credential.commands import AddCredential
from domain.credential.events import SecretSource
from domain.errors import Unavailable
from domain.ids import CredentialId, ProcessId
from domain.process.commands import StartProcess, StopProcess
from entrypoints.http.app import build_app
from entrypoints.measuring import MeasuredLog, MeasuredWriter, Measures, sample
from entrypoints.watching import Conditions, watch
from infra.settings import Settings
from projections import READ_MODELS

VERSION: Final = version("ledger-gateway")
BY: Final = "system:process"
DIGEST_KEY_FILE: Final = "digest.key"
DIGEST_KEY_BYTES: Final = 32
PROVIDERS_WITH_KEYS: Final = ("openai", "anthropic")
NOWHERE: Final = "http://127.0.0.1:9/v1"
"""Where the local model is while it isn't served: nobody listens, so that calls of it fail as calls of an absent provider do."""

log = logging.getLogger(__name__)

R = TypeVar("R", PostgresEvents, ReadModels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What answers HTTP, running; only the listening socket is left to whoever serves."""

    settings: Settings
    world: World
    app: web.Application
    admin_secret: str | None
    """Generated just now: shown once, and never again."""


@asynccontextmanager
async def running(settings: Settings, measures: Measures, *, number: int = 1) -> AsyncIterator[Gateway]:
    """The settings name all that it stands on: see `stores.standing`. Many of these run side by side; the first speaks for all."""
    async with AsyncExitStack() as parts:
        recorder, world = await parts.enter_async_context(_opened(settings, measures))
        await parts.enter_async_context(_alive(_database_url(settings), world, recorder))
        await parts.enter_async_context(_reporting_refusals(world))
        await parts.enter_async_context(_beside(sample(measures, recorder)))
        wanted = _wanted(settings)
        admin_secret = await bootstrap(recorder, wanted, random=secrets.token_bytes, correlation_id=world.process_id)
        if number == 1:
            point_out_changes(recorder, wanted)

        events = await parts.enter_async_context(_open(PostgresEvents(_database_url(settings))))
        await asyncio.to_thread(prepare_live, _database_url(settings), READ_MODELS)
        read_models = await parts.enter_async_context(_open(ReadModels(_database_url(settings))))
        conditions = Conditions()
        await parts.enter_async_context(_beside(watch(conditions, str(settings.redis_url), events)))
        app = build_app(
            world,
            events=events,
            read_models=read_models,
            prices=GenaiPrices(),
            digest_key=_digest_key(settings.gateway_home),
            version=VERSION,
            process=f"worker-{number}",
            measures=measures,
            conditions=conditions,
        )
        yield Gateway(settings=settings, world=world, app=app, admin_secret=admin_secret)


@asynccontextmanager
async def reacting(settings: Settings, world: World) -> AsyncIterator[Projector]:
    """What one process does for all: it feeds the read models, and recovers what others left open. More of these stand by."""
    projector = Projector(_database_url(settings), READ_MODELS)
    async with _recovering(_database_url(settings), world, settings.dead_after_s):
        projector.start()
        try:
            yield projector
        finally:
            await asyncio.to_thread(projector.stop)


@asynccontextmanager
async def reactor(settings: Settings, measures: Measures) -> AsyncIterator[None]:
    """A process that answers nobody."""
    async with (
        _opened(settings, measures) as (recorder, world),
        reacting(settings, world) as projector,
        _beside(sample(measures, recorder, projector)),
    ):
        yield


@asynccontextmanager
async def _opened(settings: Settings, measures: Measures) -> AsyncIterator[tuple[PostgresLog, World]]:
    clock = SystemClock()
    recorder = PostgresLog(_database_url(settings), batch_max=settings.log_batch_max)
    recorder.writer.measures = MeasuredWriter(measures)
    network = open_transport(trust_env=settings.upstream_trust_env, ca_file=settings.upstream_ca_file)
    async with _reading_and_writing(recorder), network as transport:
        yield (
            recorder,
            World(
                log=MeasuredLog(recorder, measures),
                transport=transport,
                providers=_providers(settings),
                secrets=_secrets(settings),
                clock=clock,
                process_id=ProcessId(str(clock.uuid7())),
            ),
        )


def _database_url(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url


@asynccontextmanager
async def _reading_and_writing(recorder: PostgresLog) -> AsyncIterator[PostgresLog]:
    try:
        await recorder.start()
        yield recorder
    finally:
        await recorder.stop()


@asynccontextmanager
async def _alive(url: str, world: World, recorder: PostgresLog) -> AsyncIterator[None]:
    """A process in the log. It ends there in good order only when all that it admitted is settled; else it is left for recovery."""
    lock_key = secrets.randbits(LOCK_KEY_BITS)
    submit = partial(world.log.submit, by=BY, correlation_id=world.process_id)
    async with living(url, lock_key):
        start = StartProcess(process_id=world.process_id, lock_key=lock_key, version=VERSION)
        await submit(start)
        recorder.on_rewound = lambda lost_position: _begun(world, readmit(world, start, lost_position))
        try:
            yield
        finally:
            if world.runs.tasks:
                log.warning("%d completions are not settled; they are left for recovery", len(world.runs.tasks))
            else:
                await _recorded_end(submit(StopProcess(process_id=world.process_id)))


def _begun(world: World, run: Coroutine[Any, Any, None]) -> None:
    world.runs.begin(run)


async def _recorded_end(stopping: Awaitable[Committed]) -> None:
    try:
        await stopping
    except Unavailable:
        log.warning("the log can't be reached, so the end of this process is not recorded")


@asynccontextmanager
async def _recovering(url: str, world: World, dead_after_s: float) -> AsyncIterator[None]:
    async with aclosing(PostgresWatch(url)) as watch, _beside(recover_completions.recover(world, watch, dead_after_s=dead_after_s)):
        yield


@asynccontextmanager
async def _reporting_refusals(world: World) -> AsyncIterator[None]:
    try:
        async with _beside(record_refusals.report(world)):
            yield
    finally:
        await record_refusals.report_the_last(world)


@asynccontextmanager
async def _beside(task: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """It runs while what is inside does."""
    running = asyncio.create_task(task)
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def _open(reader: R) -> AsyncIterator[R]:
    await reader.open()
    try:
        yield reader
    finally:
        await reader.close()


def _providers(settings: Settings) -> Mapping[str, Provider]:
    """The local model's port changes with each start, so it stands in no event."""
    endpoint = settings.local_model_url or NOWHERE
    return {**PROVIDERS, "local": OpenAI(cap_field="max_tokens", endpoint=endpoint)}


def _wanted(settings: Settings) -> Wanted:
    key = settings.admin_api_key
    return Wanted(
        admin_secret=None if key is None else TYPE_PREFIX + key.get_secret_value(),
        credentials=[
            _from_environment(provider, getattr(settings, f"{provider}_base_url", None))
            for provider in PROVIDERS_WITH_KEYS
            if getattr(settings, f"{provider}_api_key") is not None
        ],
        local_model=settings.local_model,
    )


def _secrets(settings: Settings) -> Secrets:
    variables = Environment(_variables(settings))
    return BySource({"none": variables, "environment": variables, "aws": DefaultChain()})


def _variables(settings: Settings) -> Mapping[str, str]:
    """The environment, and above it the keys as the settings have them: the file that GATEWAY_CONFIG names may hold them too."""
    keys = {f"{provider.upper()}_API_KEY": getattr(settings, f"{provider}_api_key") for provider in PROVIDERS_WITH_KEYS}
    return ChainMap({name: key.get_secret_value() for name, key in keys.items() if key is not None}, os.environ)


def _from_environment(provider: str, endpoint: str | None) -> AddCredential:
    return AddCredential(
        credential_id=CredentialId(f"{provider}-default"),
        name=f"{provider.capitalize()} (environment)",
        credential_type=provider,
        secret=SecretSource(source="environment", name=f"{provider.upper()}_API_KEY"),
        endpoint=endpoint,
    )


def _digest_key(home: Path) -> bytes:
    """Generated once, whole or not at all, and the same for all: with another key, repeated requests would pass for new ones."""
    file = home / DIGEST_KEY_FILE
    if not file.exists():
        descriptor, draft = tempfile.mkstemp(dir=home)
        with open(descriptor, "wb") as written:
            written.write(secrets.token_bytes(DIGEST_KEY_BYTES))
            written.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):  # another process was faster
            os.link(draft, file)
        Path(draft).unlink()
    return file.read_bytes()
