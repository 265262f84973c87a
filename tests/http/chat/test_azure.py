"""Azure OpenAI behind the gateway, as OpenAI's own SDK meets it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import openai
import orjson
import pytest

from adapters.providers.azure import API_VERSION
from domain.credential.commands import AddCredential
from domain.credential.events import SecretSource
from domain.ids import CredentialId
from tests.http.chat.conftest import INPUT_NANOS, OUTPUT_NANOS, Desk
from tests.providers.test_azure import REFUSED, STREAM
from tests.scripted_provider import Script

MESSAGES: Any = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Azure:
    desk: Desk
    sdk: openai.AsyncOpenAI

    async def published(self, name: str, *, endpoint: str = "", deployment: str | None = None) -> str:
        model = f"{self.desk.name}-{name}"
        await self.desk.submit(
            AddCredential(
                credential_id=CredentialId(model),
                name=model,
                credential_type="azure_openai",
                secret=SecretSource(source="environment", name="PROVIDER_KEY"),
                endpoint=f"{self.desk.provider.url}{endpoint}",
                deployment=deployment,
            )
        )
        await self.desk.publish(model, credential=model, provider="azure_openai", provider_model="gpt-4o")
        return model


@pytest.fixture
async def azure(desk: Desk) -> AsyncIterator[Azure]:
    async with openai.AsyncOpenAI(base_url=f"{desk.gateway.url}/v1", api_key=desk.secret, max_retries=0) as sdk:
        yield Azure(desk, sdk)


ADDRESSES = [
    ("", None, f"/openai/deployments/gpt-4o/chat/completions?api-version={API_VERSION}", "gpt-4o"),
    ("?api-version=2025-04-01-preview", "east", "/openai/deployments/east/chat/completions?api-version=2025-04-01-preview", "east"),
    ("/openai/v1", "east", "/openai/v1/chat/completions", "east"),
]


@pytest.mark.parametrize(("endpoint", "deployment", "path", "named"), ADDRESSES)
async def test_a_plain_answer(azure: Azure, endpoint: str, deployment: str | None, path: str, named: str) -> None:
    model = await azure.published("plain", endpoint=endpoint, deployment=deployment)
    completion = await azure.sdk.chat.completions.create(model=model, messages=MESSAGES, seed=5)
    assert (completion.choices[0].message.content, completion.model) == ("Hello there, friend", model)
    received = azure.desk.provider.received[-1]
    assert (received.raw_path, received.headers["api-key"]) == (path, "sk-of-the-provider")
    assert "Authorization" not in received.headers
    assert received.body == {"messages": MESSAGES, "seed": 5, "model": named, "max_completion_tokens": 500}


async def test_a_stream_that_the_content_filter_ended(azure: Azure) -> None:
    model = await azure.published("stream")
    azure.desk.provider.script = Script(raw=STREAM)
    answers = await azure.sdk.chat.completions.create(model=model, messages=MESSAGES, stream=True)
    choices = [chunk.choices[0] async for chunk in answers]  # of every chunk, as many clients do
    assert "".join(choice.delta.content or "" for choice in choices) == "Hello"
    assert choices[-1].finish_reason == "content_filter"
    settled = await azure.desk.settled((await azure.desk.admissions())[-1])
    assert settled["attempts"][0]["usage"] == {"input": 6, "cached_input": 4, "output": 1}
    assert settled["cost_nanos"] == 10 * INPUT_NANOS + 1 * OUTPUT_NANOS  # without a rate of its own, what is cached costs as input


async def test_a_prompt_that_the_content_filter_refused(azure: Azure) -> None:
    model = await azure.published("refused")
    azure.desk.provider.script = Script(status=400, raw=orjson.dumps(REFUSED))
    with pytest.raises(openai.BadRequestError) as raised:
        await azure.sdk.chat.completions.create(model=model, messages=MESSAGES)
    assert (raised.value.code, raised.value.param) == ("content_filter", "prompt")


async def test_too_many_requests_say_when_to_come_again(azure: Azure) -> None:
    model = await azure.published("many")
    azure.desk.provider.script = Script(status=429, headers={"Retry-After": "7"}, raw=b'{"error": {"code": "429", "message": "S0 tier"}}')
    with pytest.raises(openai.RateLimitError) as raised:
        await azure.sdk.chat.completions.create(model=model, messages=MESSAGES)
    assert raised.value.response.headers["retry-after"] == "7"


async def test_a_deployment_that_is_not_there_is_the_operators_business(azure: Azure) -> None:
    model = await azure.published("gone", deployment="east")
    azure.desk.provider.script = Script(status=404, raw=b'{"error": {"code": "DeploymentNotFound", "message": "no east"}}')
    with pytest.raises(openai.InternalServerError) as raised:
        await azure.sdk.chat.completions.create(model=model, messages=MESSAGES)
    assert raised.value.code == "provider_model_not_found"
    assert "east" not in str(raised.value)
