"""The real application on the real log, served on loopback as in production, with an admin key."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import psycopg
import pytest
from aiohttp import ClientSession, web
from yarl import URL

from adapters.clock import SystemClock
from adapters.log.postgres_log import PostgresLog
from adapters.log.reading import PostgresEvents
from adapters.price_book import GenaiPrices
from adapters.projecting.advancing import prepare_live
from adapters.projecting.projector import Projector
from adapters.providers import PROVIDERS
from adapters.read_models import ReadModels
from adapters.secrets.environment import Environment
from adapters.transport import open_transport
from application.world import World
from domain.api_key.commands import IssueApiKey
from domain.api_key.events import Permissions
from domain.api_key.secret import digest_of, prefix_of
from domain.ids import ApiKeyId, ProcessId, TeamId
from domain.team.commands import CreateTeam
from entrypoints.http.app import build_app, runner_of
from infra.embedded import RunningPostgres
from infra.postgres import migrate
from projections import READ_MODELS
from tests.conftest import database_at

ADMIN_SECRET = "pk_test_admin-key-of-the-http-tests"
MEMBER_SECRET = "pk_test_plain-key-of-the-http-tests"

AWS_KEYS = '{"aws_access_key_id": "AKIDOFTESTS", "aws_secret_access_key": "secret-of-tests", "aws_session_token": "token-of-tests"}'

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def error(self) -> Any:
        """The envelope's inside; all four keys are always there."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


@dataclass(frozen=True)
class Gateway:
    """A gateway that is being served, and one client of it."""

    url: URL
    session: ClientSession
    log: PostgresLog

    async def ask(
        self, method: str, path: str, body: Any = None, *, secret: str | None = ADMIN_SECRET, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """`body`: bytes are sent as they are, anything else as JSON. The path is sent as it is written."""
        sent = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        authorization = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        url = URL(f"{self.url}{path}", encoded=True)
        async with self.session.request(method, url, data=sent, headers={**JSON, **authorization, **(headers or {})}) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = await self.ask(method, path, body, **more)
        assert answer.status == 200, answer.raw
        return answer.json


@pytest.fixture(scope="session")
def http_database_url(postgres: RunningPostgres) -> str:
    """One for all HTTP tests: each uses ids of its own."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE http_tests")
    url = database_at(postgres, "http_tests")
    migrate(url)
    return url


@pytest.fixture(scope="session")
async def world(http_database_url: str) -> AsyncIterator[World]:
    async with world_on(http_database_url) as world:
        yield world


@pytest.fixture(scope="session")
async def gateway(world: World, http_database_url: str) -> AsyncIterator[Gateway]:
    async with served(world, http_database_url) as gateway:
        projector = Projector(http_database_url, READ_MODELS)
        projector.start()
        yield gateway
        await asyncio.to_thread(projector.stop)


@asynccontextmanager
async def world_on(url: str) -> AsyncIterator[World]:
    log = PostgresLog(url)
    await log.start()
    clock = SystemClock()
    async with open_transport() as transport:
        yield World(
            log=log,
            transport=transport,
            providers=PROVIDERS,
            secrets=Environment({"PROVIDER_KEY": "sk-of-the-provider", "AWS_KEYS": AWS_KEYS}),
            clock=clock,
            process_id=ProcessId(str(clock.uuid7())),
        )
    await log.stop()


@asynccontextmanager
async def served(world: World, url: str) -> AsyncIterator[Gateway]:
    """With its read models, which nobody feeds yet."""
    await asyncio.to_thread(prepare_live, url, READ_MODELS)
    events, read_models = PostgresEvents(url), ReadModels(url)
    await events.open()
    await read_models.open()
    app = build_app(world, events=events, read_models=read_models, prices=GenaiPrices(), digest_key=b"http tests", version="0.0.0-test")
    runner = runner_of(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await _issue_keys(world)
    async with ClientSession() as session:
        assert isinstance(world.log, PostgresLog)
        yield Gateway(URL(f"http://127.0.0.1:{runner.addresses[0][1]}"), session, world.log)
    await runner.cleanup()
    await read_models.close()
    await events.close()


async def _issue_keys(world: World) -> None:
    submit = partial(world.log.submit, by="system:test", correlation_id="set-up")
    await submit(CreateTeam(team_id=TeamId("administrators"), name="Administrators"))
    for name, secret in (("admin", ADMIN_SECRET), ("member", MEMBER_SECRET)):
        issue = IssueApiKey(
            api_key_id=ApiKeyId(name),
            name=name,
            team_id=TeamId("administrators"),
            key_prefix=prefix_of(secret),
            secret_sha256=digest_of(secret),
            permissions=Permissions(admin=name == "admin"),
        )
        await submit(issue)
