"""A desk: a gateway, a scripted provider behind it, and a key that may call one model of its own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from application.world import World
from domain.api_key.commands import IssueApiKey
from domain.api_key.events import Permissions, RateLimits
from domain.api_key.secret import digest_of, prefix_of, secret_of
from domain.budget.commands import OpenBudget
from domain.budget.events import AtLimit
from domain.credential.commands import AddCredential
from domain.credential.events import SecretSource
from domain.ids import ApiKeyId, BudgetId, CredentialId, ModelId, TeamId
from domain.kernel import Command
from domain.model.commands import PriceModel, PublishModel
from domain.model.events import ModelConfig, ModelContent
from domain.price import Category, Tier
from domain.team.commands import CreateTeam
from tests.http.conftest import Answer, Gateway
from tests.scripted_provider import ScriptedProvider, scripted_provider

MESSAGES = [{"role": "user", "content": "hello"}]
INPUT_NANOS, OUTPUT_NANOS = 1_000, 2_000
"""What a token costs."""
MAX_OUTPUT_TOKENS = 500
PATH = "/v1/chat/completions"

_number = count(1)


@dataclass(frozen=True)
class Desk:
    gateway: Gateway
    world: World
    provider: ScriptedProvider
    name: str
    """Of the team, the key, the credential and the model."""
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}

    def body(self, **changes: Any) -> dict[str, Any]:
        return {"model": self.name, "messages": MESSAGES, **changes}

    async def ask(self, **changes: Any) -> Answer:
        return await self.gateway.ask("POST", PATH, self.body(**changes), secret=self.secret)

    async def submit(self, command: Command) -> None:
        await self.world.log.submit(command, by="system:test", correlation_id=self.name)

    async def publish(self, model: str, *, credential: str | None = None, config: ModelConfig | None = None, **changes: Any) -> None:
        content = {
            "name": model,
            "provider": "openai_compatible",
            "provider_model": "upstream-model-2026",
            "credential_id": CredentialId(credential or self.name),
            "config": config or ModelConfig(),
            "max_output_tokens": MAX_OUTPUT_TOKENS,
            **changes,
        }
        await self.submit(PublishModel(model_id=ModelId(model), content=ModelContent(**content)))
        rates = {
            Category.INPUT: (Tier(nanos_per_million=INPUT_NANOS * 10**6),),
            Category.OUTPUT: (Tier(nanos_per_million=OUTPUT_NANOS * 10**6),),
        }
        await self.submit(PriceModel(model_id=ModelId(model), source="given", rates=rates))

    async def add_credential(self, name: str, *, endpoint: str, variable: str | None) -> None:
        secret = SecretSource(source="none") if variable is None else SecretSource(source="environment", name=variable)
        await self.submit(
            AddCredential(credential_id=CredentialId(name), name=name, credential_type="openai", secret=secret, endpoint=endpoint)
        )

    async def issue_key(self, name: str, *, permissions: Permissions | None = None, rate_limits: RateLimits | None = None) -> str:
        secret = secret_of(name.encode().ljust(32, b"."))
        await self.submit(
            IssueApiKey(
                api_key_id=ApiKeyId(name),
                name=name,
                team_id=TeamId(self.name),
                key_prefix=prefix_of(secret),
                secret_sha256=digest_of(secret),
                permissions=permissions or Permissions(),
                rate_limits=rate_limits or RateLimits(),
            )
        )
        return secret

    async def open_budget(self, limit_nanos: int, at_limit: AtLimit) -> str:
        await self.submit(
            OpenBudget(
                budget_id=BudgetId(self.name),
                name=self.name,
                period="daily",
                hard_limit_nanos=limit_nanos,
                team_ids=frozenset({self.name}),
                at_limit=at_limit,
            )
        )
        return self.name

    async def events(self, completion_id: str) -> list[dict[str, Any]]:
        """Those of a completion, once it is settled."""
        async with asyncio.timeout(5):
            while True:
                found: list[dict[str, Any]] = await self._page(f"stream=main/completion/{completion_id}")
                if found and found[-1]["topic"] == "completion.settled.v1":
                    return found
                await asyncio.sleep(0.01)

    async def settled(self, completion_id: str) -> dict[str, Any]:
        """What the last event says; it is the only one after the admission and reports of progress."""
        events = await self.events(completion_id)
        topics = [event["topic"] for event in events]
        assert (topics[0], topics.count("completion.settled.v1")) == ("completion.admitted.v1", 1)
        data: dict[str, Any] = events[-1]["data"]
        return data

    async def admissions(self) -> list[str]:
        """The ids of this key's completions."""
        return [event["stream"].rpartition("/")[2] for event in await self.recorded("completion.admitted.v1")]

    async def recorded(self, topic: str) -> list[dict[str, Any]]:
        """All that this key has brought about of one kind."""
        return await self._page(f"topic={topic}&by=key:{self.name}&limit=1000")

    async def _page(self, query: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = (await self.gateway.done("GET", f"/admin/events?{query}"))["events"]
        return events


@pytest.fixture
async def desk(gateway: Gateway, world: World) -> AsyncIterator[Desk]:
    name = f"chat-{next(_number)}"
    async with scripted_provider() as provider:
        desk = Desk(gateway, world, provider, name, secret_of(name.encode().ljust(32, b".")))
        await desk.submit(CreateTeam(team_id=TeamId(name), name=name))
        await desk.issue_key(name)
        await desk.add_credential(name, endpoint=provider.url, variable="PROVIDER_KEY")
        await desk.publish(name)
        yield desk
