"""The gateway as OpenAI's own SDK understands it."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from domain.budget.events import AtLimit
from tests.http.chat.conftest import Desk
from tests.scripted_provider import Script

MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def sdk(desk: Desk) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{desk.gateway.url}/v1", api_key=desk.secret, max_retries=0) as sdk:
        yield sdk


async def test_a_plain_answer(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model=desk.name, messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello there, friend"
    assert answer.usage is not None
    assert (answer.model, answer.usage.total_tokens) == (desk.name, 15)


async def test_a_stream_with_its_usage(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(model=desk.name, messages=MESSAGES, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there, friend"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


async def test_models(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    assert desk.name in [model.id async for model in sdk.models.list()]
    assert (await sdk.models.retrieve(desk.name)).id == desk.name


async def test_an_unknown_model_is_not_found(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await sdk.chat.completions.create(model="unknown-model", messages=MESSAGES)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


async def test_a_wrong_key_is_no_key(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="pk_test_nobody-has-this-key").models.list()


async def test_a_bad_value_is_a_bad_request(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await sdk.chat.completions.create(model=desk.name, messages=MESSAGES, temperature=3)
    assert raised.value.param == "temperature"


async def test_an_exhausted_budget_is_a_rate_limit_without_a_retry(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    await desk.open_budget(1_000, AtLimit.REJECT)
    with pytest.raises(openai.RateLimitError) as raised:
        await sdk.with_options(max_retries=2).chat.completions.create(model=desk.name, messages=MESSAGES)
    assert raised.value.code == "insufficient_quota"


async def test_a_stream_that_is_cut_raises(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    desk.provider.script = Script(cut_after_bytes=600)
    stream = await sdk.chat.completions.create(model=desk.name, messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in stream]
