"""`gateway serve` with three workers and a stand-by: what one process does or suffers is right for all of them."""

import asyncio
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import psycopg
import pytest
from aiohttp import ClientSession
from yarl import URL

from adapters.clock import SystemClock
from adapters.log.auditing import verify
from adapters.log.postgres_log import PostgresLog
from adapters.providers import PROVIDERS
from adapters.secrets.environment import Environment
from adapters.transport import open_transport
from application.world import World
from domain.ids import ProcessId, TeamId
from domain.team.commands import CreateTeam
from infra.embedded import RunningPostgres, RunningValkey
from infra.postgres import migrate
from infra.running_postgres import running_postgres_url
from tests.conftest import database_at
from tests.gateway_process import command, environment
from tests.http.chat import test_barrier
from tests.http.chat.conftest import Desk
from tests.http.conftest import Gateway
from tests.journeys.gateways import until, until_async
from tests.journeys.house import CHAT, DONE, NOBODY, ROUNDS, WAIT_S, WORKERS, House, answers, housed, stream, worker_of
from tests.scripted_provider import Script, ScriptedProvider, scripted_provider, streamed

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with scripted_provider() as provider:
        yield provider


@pytest.fixture(autouse=True)
def _provider_as_before(provider: ScriptedProvider) -> None:
    provider.release()
    provider.script = Script()
    provider.received.clear()


@pytest.fixture(scope="module")
def house_url(postgres: RunningPostgres) -> str:
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE processes")
    url = database_at(postgres, "processes")
    migrate(url)
    return url


@pytest.fixture(scope="module")
def environ(house_url: str, valkey: RunningValkey, servers_home: Path) -> dict[str, str]:
    return environment(servers_home / "processes", DATABASE_URL=house_url, REDIS_URL=valkey.url)


@pytest.fixture(scope="module")
async def house(environ: dict[str, str], provider: ScriptedProvider) -> AsyncIterator[House]:
    async with housed(environ, provider) as house:
        yield house


@pytest.mark.parametrize("clients", [12, 48])
async def test_connections_are_spread_evenly(house: House, clients: int) -> None:
    async with AsyncExitStack() as stack:
        each = [await stack.enter_async_context(house.client()) for _ in range(clients)]
        spread = Counter(await asyncio.gather(*map(worker_of, each)))
        again = Counter(await asyncio.gather(*map(worker_of, each)))
    sys.stdout.write(f"{clients} connections: {sorted(spread.values())}\n")
    assert spread == again
    assert len(spread) == WORKERS
    assert max(spread.values()) <= 2 * clients / WORKERS


async def test_what_one_worker_records_holds_for_the_next_request_to_any_other(house: House) -> None:
    """A new key, a changed limit, a suspended key, a suspended team."""
    took_ms: dict[str, list[float]] = {}

    async def next_request(change: str, client: httpx.AsyncClient, secret: str, *, status: int) -> None:
        began = time.perf_counter()
        answer = await client.post("/v1/chat/completions", json=CHAT | {"stream": False}, headers={"Authorization": f"Bearer {secret}"})
        took_ms.setdefault(change, []).append((time.perf_counter() - began) * 1000)
        assert answer.status_code == status, (change, answer.text)

    async with house.client_of_each() as workers:
        for number in range(ROUNDS):
            one, *others = workers[number % WORKERS :] + workers[: number % WORKERS]
            team, key = f"team-{number}", f"key-{number}"
            await done(one.post("/admin/teams", json={"id": team, "name": team}))
            secret = (await done(one.post("/admin/api-keys", json={"id": key, "name": key, "team_id": team, "permissions": {}})))["secret"]
            for other in others:
                await next_request("a new key", other, secret, status=200)
            await done(one.put(f"/admin/api-keys/{key}", json={"rate_limits": {"requests_per_minute": 1}}))
            await next_request("the first within a new limit", others[0], secret, status=200)
            await next_request("a used up limit", others[1], secret, status=429)
            await done(one.put(f"/admin/api-keys/{key}", json={"rate_limits": {"requests_per_minute": 1000}}))
            await done(one.post(f"/admin/api-keys/{key}/suspend", json={"reason": "misused"}))
            for other in others:
                await next_request("a suspended key", other, secret, status=401)
            await done(one.post(f"/admin/api-keys/{key}/activate"))
            await next_request("an active key", others[0], secret, status=200)
            await done(one.post(f"/admin/teams/{team}/suspend"))
            for other in others:
                await next_request("a suspended team", other, secret, status=403)
    for change, each in took_ms.items():
        middle = sorted(each)[len(each) // 2]
        sys.stdout.write(f"{change}: so the next request in another process is answered, in {middle:.1f} ms, at most {max(each):.1f}\n")


async def done(answer: Any) -> Any:
    response = await answer
    assert response.status_code == 200, response.text
    return response.json()


async def test_one_budget_is_exact_over_all_workers(house: House, house_url: str) -> None:
    """The barrier test, with three processes between the clients and the money."""
    for number, barrier in enumerate(
        (test_barrier.test_a_budget_that_rejects_admits_exactly_what_fits, test_barrier.test_a_budget_that_clamps_shortens_more_and_more)
    ):
        async with desk_of(house, house_url, f"barrier-{number}") as desk:
            async with openai.AsyncOpenAI(base_url=f"{desk.gateway.url}/v1", api_key=desk.secret, max_retries=0) as sdk:
                await barrier(desk, sdk)
            owners = {event["data"]["owner"] for event in await desk.recorded("completion.admitted.v1")}
            assert len(owners) > 1  # a worker that was late met an empty budget
    assert verify(house_url).findings == []


@asynccontextmanager
async def desk_of(house: House, url: str, name: str) -> AsyncIterator[Desk]:
    """What is administered goes directly into the log; what is asked goes over HTTP."""
    log, clock = PostgresLog(url), SystemClock()
    await log.start()
    async with open_transport() as transport, ClientSession(headers={"Connection": "close"}) as session:
        world = World(
            log=log,
            transport=transport,
            providers=PROVIDERS,
            secrets=Environment({}),
            clock=clock,
            process_id=ProcessId(str(clock.uuid7())),
        )
        house.provider.received.clear()
        house.provider.script = Script()
        desk = Desk(Gateway(URL(house.running.url), session, log), world, house.provider, name, "")
        await desk.submit(CreateTeam(team_id=TeamId(name), name=name))
        secret = await desk.issue_key(name)
        await desk.add_credential(name, endpoint=house.provider.url, variable="PROVIDER_KEY")
        await desk.publish(name)
        yield Desk(desk.gateway, world, house.provider, name, secret)
    await log.stop()


async def test_a_killed_worker_is_replaced_and_the_others_go_on(house: House) -> None:
    requests = await house.metric("gateway_http_requests_total")
    house.provider.hold()
    async with house.client_of_each() as clients:
        names = [await worker_of(client) for client in clients]
        streams = [asyncio.create_task(stream(client)) for client in clients]
        await house.provider.until_received(WORKERS, WAIT_S)
        victim = house.pid(names[0])
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(httpx.HTTPError):
            await streams[0]
        async with house.client() as newcomer:  # whoever comes now meets one that lives
            assert await worker_of(newcomer) in names[1:]
        house.provider.release()
        assert all([(await each).endswith(DONE) for each in streams[1:]])
    began = time.monotonic()
    await house.until_all_are_back()
    sys.stdout.write(f"a killed worker answers again after {time.monotonic() - began:.1f} s\n")
    assert house.pid(names[0]) != victim
    assert f"{names[0]} (pid {victim}) is gone: it was ended by SIGKILL" in house.running.said
    assert await house.metric("gateway_http_requests_total") > requests  # what it counted is not lost
    assert await house.metric("gateway_process_starts_total") > WORKERS + 2


async def test_a_killed_projector_is_followed_by_the_one_that_stands_by(house: House) -> None:
    await house.until("gateway_projectors_active", 1)
    active = next(name for name in ("projector-1", "projector-2") if f"{name}[{house.pid(name)}] adapters.projecting" in house.running.said)
    pid = house.pid(active)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    async with house.client() as client:
        await done(client.post("/admin/teams", json={"id": "after-the-projector", "name": "After"}))
        await until_async(lambda: answers(client, "/admin/teams/after-the-projector", '"After"'))
        sys.stdout.write(f"read models go on {time.monotonic() - began:.1f} s after the projector was killed\n")
        assert (await client.get("/ready")).status_code == 200
    await house.until("gateway_projectors_active", 1)
    await until(lambda: house.pid(active) not in (None, pid))


async def test_without_a_cache_it_is_degraded_and_ready(environ: dict[str, str], provider: ScriptedProvider) -> None:
    home = f"{environ['GATEWAY_HOME']}-degraded"
    async with housed(environ, provider, GATEWAY_HOME=home, REDIS_URL=NOBODY) as house, house.client() as client:
        await until_async(lambda: answers(client, "/ready", '"degraded"'))
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert {"name": "cache", "status": "degraded", "message": "the cache does not answer"} in ready.json()["checks"]


async def test_metrics_are_of_all_processes_whichever_is_asked(house: House) -> None:
    await house.until("gateway_completions_open", 0)  # what an earlier test's victim left is recovered
    async with house.client_of_each() as clients:
        await done(clients[0].post("/admin/budgets", json={"id": "measured", "name": "M", "period": "lifetime", "hard_limit_usd": 7.5}))
        before = await house.metric('gateway_completions_total{end_reason="completed"}')
        for client in clients:
            assert (await stream(client)).endswith(DONE)
        texts = [(await client.get("/metrics")).text for client in clients]
    for text in texts:
        value = re.search(r'^gateway_completions_total{end_reason="completed"} (\S+)$', text, re.MULTILINE)
        assert value is not None
        assert float(value[1]) == before + WORKERS
        assert 'gateway_budget_limit_usd{budget="measured"} 7.5' in text
        assert "gateway_completions_open 0.0" in text
        for name in ("log_queue", "log_fold_lag_seconds", "log_lock_seconds_count", "log_batch_commands_sum", "projection_lag_events"):
            assert re.search(rf"^gateway_{name} \S+$", text, re.MULTILINE), name
    assert await house.metric("gateway_ready") == WORKERS + 2


def test_a_second_gateway_is_refused_the_same_home(house: House) -> None:
    refused = command(house.environ, "serve")
    assert refused.returncode == 1
    assert "is in use by process" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_told_to_stop_all_workers_let_their_streams_end(environ: dict[str, str], provider: ScriptedProvider) -> None:
    home = f"{environ['GATEWAY_HOME']}-drain"
    async with housed(environ, provider, GATEWAY_HOME=home, DRAIN_ACCEPT_S="1") as house:
        provider.hold()
        async with house.client_of_each() as clients, house.client_of_each() as others:
            streams = [asyncio.create_task(stream(client)) for client in clients]
            await provider.until_received(WORKERS, WAIT_S)
            house.running.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            ready = [await client.get("/ready") for client in others]
            assert [(answer.status_code, "stopping" in answer.text) for answer in ready] == [(503, True)] * WORKERS
            await asyncio.sleep(1.2)
            with pytest.raises(httpx.ConnectError):
                async with house.client() as late:
                    await late.get("/ready")
            provider.release()
            assert all([(await each).endswith(DONE) for each in streams])
        assert await asyncio.to_thread(house.running.process.wait, WAIT_S) == 0
        assert "Traceback" not in house.running.said


async def test_when_the_supervisor_is_killed_everything_ends_and_the_next_start_recovers(
    provider: ScriptedProvider, servers_home: Path
) -> None:
    """With embedded stores, which end with it."""
    environ = environment(servers_home / "supervisor", DRAIN_S="1")
    async with housed(environ, provider) as house:
        provider.hold()
        async with house.client_of_each() as clients:
            streams = [asyncio.create_task(stream(client)) for client in clients]
            await provider.until_received(WORKERS, WAIT_S)
            pids = list(house.running.children().values())
            assert len(pids) == WORKERS + 2
            house.running.process.kill()
            cut_off = await asyncio.gather(*streams, return_exceptions=True)
        assert not any(isinstance(each, str) and each.endswith(DONE) for each in cut_off)
        began = time.monotonic()
        await asyncio.to_thread(house.running.process.wait)
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        sys.stdout.write(f"all processes are gone {time.monotonic() - began:.1f} s after their supervisor\n")
    provider.release()
    async with housed(environ, provider) as house:
        await house.until("gateway_completions_recovered_total", WORKERS)
        url = running_postgres_url(servers_home / "supervisor")
        assert url is not None
        assert verify(url).findings == []


async def test_a_killed_postgresql_is_started_again_where_it_was(provider: ScriptedProvider, servers_home: Path) -> None:
    environ = environment(servers_home / "postgresql")
    async with housed(environ, provider) as house:
        url = running_postgres_url(servers_home / "postgresql")
        assert url is not None
        whole = streamed(Script(), CHAT | {"stream_options": {"include_usage": True}})
        provider.script = Script(raw=whole, split_at=(len(whole) // 2,), pause_s=1.5)
        async with house.client_of_each() as clients:
            streams = [asyncio.create_task(stream(client)) for client in clients]
            await provider.until_received(WORKERS, WAIT_S)
            os.kill(postmaster_of(house), signal.SIGKILL)
            assert all([(await each).endswith(DONE) for each in streams])
        began = time.monotonic()
        async with house.client() as client:
            await until_async(lambda: answers(client, "/ready", '"healthy"'))
            sys.stdout.write(f"ready again {time.monotonic() - began:.1f} s after the streams' end\n")
            provider.script = Script()
            assert (await stream(client)).endswith(DONE)
        assert running_postgres_url(servers_home / "postgresql") == url
        assert "PostgreSQL is gone; starting it again" in house.running.said
        await house.until("gateway_completions_open", 0)
        assert verify(url).findings == []


def postmaster_of(house: House) -> int:
    pid = house.running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (found,) = [int(child) for child in children if Path(f"/proc/{child}/exe").resolve().name == "postgres"]
    return found
