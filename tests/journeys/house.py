"""A gateway of several real processes, as the journeys about processes use it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from tests.gateway_process import Serving, serving
from tests.http.conftest import ADMIN_SECRET
from tests.journeys.gateways import until_async
from tests.scripted_provider import ScriptedProvider

WORKERS: Final = 3
ADMIN_KEY: Final = ADMIN_SECRET.removeprefix("pk_test_")
PROVIDER_KEY: Final = "sk-of-the-provider"
WAIT_S: Final = 40.0
ROUNDS: Final = 10
CHAT: Final = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
MODEL: Final = {
    "id": "m",
    "name": "M",
    "provider": "openai",
    "provider_model": "up",
    "credential_id": "openai-default",
    "price": {"input_usd_per_million": 1, "output_usd_per_million": 2},
}
NOBODY: Final = "redis://127.0.0.1:9/0"
DONE: Final = "data: [DONE]\n\n"


@dataclass
class House:
    """A gateway of several processes, and a scripted provider that it calls."""

    running: Serving
    provider: ScriptedProvider
    environ: dict[str, str]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """One connection."""
        headers = {"Authorization": f"Bearer {ADMIN_SECRET}"}
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=self.running.url, headers=headers, trust_env=False, timeout=WAIT_S, limits=limits) as client:
            yield client

    @asynccontextmanager
    async def client_of_each(self) -> AsyncIterator[list[httpx.AsyncClient]]:
        """One connection to each worker."""
        found: dict[str, httpx.AsyncClient] = {}
        async with AsyncExitStack() as stack, asyncio.timeout(WAIT_S):
            while len(found) < WORKERS:
                client = await stack.enter_async_context(self.client())
                found.setdefault(await worker_of(client), client)
            yield list(found.values())

    def pid(self, name: str) -> int | None:
        return self.running.children().get(name)

    async def until_all_are_back(self) -> None:
        names = {f"worker-{number}" for number in range(1, WORKERS + 1)}

        async def answering() -> bool:
            async with AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(self.client()) for _ in range(4 * WORKERS)]
                return set(await asyncio.gather(*map(worker_of, clients))) == names

        await until_async(answering)

    async def metric(self, name: str) -> float:
        """Summed over its labels."""
        async with self.client() as client:
            text = (await client.get("/metrics")).text
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    async def until(self, name: str, value: float) -> None:
        async def there() -> bool:
            return await self.metric(name) == value

        await until_async(there)


async def worker_of(client: httpx.AsyncClient) -> str:
    name: str = (await client.get("/ready")).json()["process"]
    return name


async def answers(client: httpx.AsyncClient, path: str, text: str) -> bool:
    answer = await client.get(path)
    return answer.status_code == 200 and text in answer.text


async def stream(client: httpx.AsyncClient) -> str:
    async with client.stream("POST", "/v1/chat/completions", json=CHAT) as answer:
        return "".join([part async for part in answer.aiter_text()])


@asynccontextmanager
async def housed(environ: dict[str, str], provider: ScriptedProvider, **settings: str) -> AsyncIterator[House]:
    whole = environ | {
        "GATEWAY_WORKERS": str(WORKERS),
        "GATEWAY_PROJECTORS": "2",
        "LOCAL_MODEL": "no",
        "ADMIN_API_KEY": ADMIN_KEY,
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": provider.url,
        "PROVIDER_KEY": PROVIDER_KEY,
        "DEAD_AFTER_S": "3",
        **settings,
    }
    with ExitStack() as stack:
        running = await asyncio.to_thread(stack.enter_context, serving(whole))
        house = House(running, provider, whole)
        async with house.client() as client:
            known = await client.post("/admin/models", json=MODEL)
            assert known.status_code in (200, 409), known.text
        yield house
        await asyncio.to_thread(stack.close)
