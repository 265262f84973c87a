"""A model of Anthropic's, as OpenAI's own SDK sees it through the gateway."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from domain.model.commands import PriceModel
from domain.model.events import ModelConfig
from domain.price import Category, Tier
from tests.http.chat.conftest import MESSAGES, Desk
from tests.providers.anthropic_wire import CACHED, NOW, PARIS, TEXT, THINKING, error, message, stream
from tests.scripted_provider import Script

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
NANOS = {
    Category.INPUT: 3_000,
    Category.CACHED_INPUT: 300,
    Category.CACHE_WRITE: 3_750,
    Category.CACHE_WRITE_1H: 6_000,
    Category.OUTPUT: 15_000,
}
"""What a token of Sonnet's costs."""
CACHED_NANOS = 1_003 * 3_000 + 20_001 * 300 + 2_006 * 3_750 + 1_001 * 6_000 + 507 * 15_000


@pytest.fixture
async def claude(desk: Desk) -> str:
    """A model beside the desk's own."""
    return await published(desk, f"{desk.name}-claude")


async def published(desk: Desk, name: str, **config: Any) -> str:
    await desk.publish(
        name, provider="anthropic", provider_model="claude-sonnet-4-6", config=ModelConfig(**config), max_output_tokens=4_096
    )
    rates = {category: (Tier(nanos_per_million=nanos * 10**6),) for category, nanos in NANOS.items()}
    await desk.submit(PriceModel(model_id=name, source="given", rates=rates))
    return name


@pytest.fixture
async def sdk(desk: Desk) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{desk.gateway.url}/v1", api_key=desk.secret, max_retries=0) as sdk:
        yield sdk


def answers(desk: Desk, raw: bytes, **changes: Any) -> None:
    desk.provider.script = Script(raw=raw, **changes)


async def test_a_plain_answer_priced_to_the_nano_dollar(desk: Desk, claude: str, sdk: openai.AsyncOpenAI) -> None:
    answers(desk, message(TEXT, usage=CACHED))
    raw = await sdk.chat.completions.with_raw_response.create(model=claude, messages=HELLO)
    answer = raw.parse()
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello there, friend", "stop")
    assert (answer.model, answer.service_tier) == (claude, "default")
    assert abs(answer.created - asyncio.get_running_loop().time()) > 1_000_000_000  # a moment of the calendar
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (24_011, 20_001)

    settled = await desk.settled(raw.headers["x-gateway-completion-id"])
    (attempt,) = settled["attempts"]
    assert (settled["cost_nanos"], settled["usage_source"]) == (CACHED_NANOS, "reported")
    assert attempt["usage"] == {"input": 1_003, "cached_input": 20_001, "cache_write": 2_006, "cache_write_1h": 1_001, "output": 507}
    assert attempt["raw_usage"] == CACHED
    assert raw.headers["x-gateway-cost-usd"] == f"{CACHED_NANOS / 10**9:.9f}".rstrip("0")

    (received,) = desk.provider.received
    assert (received.path, received.headers["x-api-key"]) == ("/v1/messages", "sk-of-the-provider")
    assert "Authorization" not in received.headers
    assert (received.body["model"], received.body["max_tokens"]) == ("claude-sonnet-4-6", 4_096)


async def test_a_stream_priced_to_the_nano_dollar(desk: Desk, claude: str, sdk: openai.AsyncOpenAI) -> None:
    data = stream(TEXT, usage=CACHED)
    answers(desk, data, split_at=range(11, len(data), 97))
    raw = await sdk.chat.completions.with_raw_response.create(
        model=claude, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in raw.parse()]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there, friend"
    assert {chunk.model for chunk in chunks} == {claude}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 24_011
    settled = await desk.settled(raw.headers["x-gateway-completion-id"])
    assert (settled["cost_nanos"], settled["usage_source"], settled["end_reason"]) == (CACHED_NANOS, "reported", "completed")
    assert desk.provider.received[0].body["stream"] is True


TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
    {"type": "function", "function": {"name": "now"}},
]


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_there_and_back(desk: Desk, claude: str, sdk: openai.AsyncOpenAI, streamed: bool) -> None:
    desk.provider.queued.append(Script(raw=(stream if streamed else message)(THINKING, PARIS, NOW, stop_reason="tool_use")))
    answer: ChatCompletion
    if streamed:
        async with sdk.chat.completions.stream(model=claude, messages=HELLO, tools=TOOLS) as events:
            answer = await events.get_final_completion()
    else:
        answer = await sdk.chat.completions.create(model=claude, messages=HELLO, tools=TOOLS)
    said = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = [call for call in said.tool_calls or () if call.type == "function"]
    assert [(call.id, call.function.name, orjson.loads(call.function.arguments)) for call in calls] == [
        ("toolu_01", "weather", PARIS["input"]),
        ("toolu_02", "now", {}),
    ]

    answers(desk, message(TEXT))
    back: list[Any] = [*HELLO, said.model_dump(exclude_none=True)]
    back += [{"role": "tool", "tool_call_id": call.id, "content": call.function.name} for call in calls]
    await sdk.chat.completions.create(model=claude, messages=back, tools=TOOLS)
    turns = desk.provider.received[-1].body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == [THINKING, PARIS, NOW]
    assert [block["tool_use_id"] for block in turns[2]["content"]] == ["toolu_01", "toolu_02"]


async def test_legacy_functions(desk: Desk, claude: str, sdk: openai.AsyncOpenAI) -> None:
    answers(desk, message(PARIS, stop_reason="tool_use"))
    answer = await sdk.chat.completions.create(model=claude, messages=HELLO, functions=[{"name": "weather", "parameters": {}}])
    assert answer.choices[0].finish_reason == "function_call"
    assert answer.choices[0].message.function_call is not None
    assert answer.choices[0].message.function_call.name == "weather"


async def test_an_image(desk: Desk, claude: str, sdk: openai.AsyncOpenAI) -> None:
    answers(desk, message(TEXT))
    parts: list[Any] = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ]
    await sdk.chat.completions.create(model=claude, messages=[{"role": "user", "content": parts}])
    assert desk.provider.received[0].body["messages"][0]["content"][1]["source"] == {
        "type": "base64",
        "media_type": "image/png",
        "data": "aGk=",
    }


class City(BaseModel):
    name: str
    inhabitants: int


async def test_a_structured_answer(desk: Desk, claude: str, sdk: openai.AsyncOpenAI) -> None:
    answers(desk, message({"type": "text", "text": '{"name": "Paris", "inhabitants": 2000000}'}))
    answer = await sdk.chat.completions.parse(model=claude, messages=HELLO, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris", inhabitants=2_000_000)
    asked = desk.provider.received[0].body["output_config"]["format"]
    assert (asked["type"], asked["schema"]["additionalProperties"]) == ("json_schema", False)


async def test_reasoning(desk: Desk, claude: str, sdk: openai.AsyncOpenAI) -> None:
    answers(desk, message(THINKING, TEXT))
    answer = await sdk.chat.completions.create(model=claude, messages=HELLO, reasoning_effort="high")
    said = answer.choices[0].message.model_dump()
    assert (said["reasoning_content"], said["thinking_blocks"]) == (THINKING["thinking"], [THINKING])
    assert desk.provider.received[0].body["output_config"] == {"effort": "high"}


async def test_what_anthropic_cannot_do_is_refused_before_it_hears_of_it_and_costs_nothing(
    desk: Desk, claude: str, sdk: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await sdk.chat.completions.create(model=claude, messages=HELLO, n=2)
    assert (raised.value.param, raised.value.code) == ("n", "unsupported_parameter")
    assert "'n'" in raised.value.message
    assert desk.provider.received == []
    (completion_id,) = await desk.admissions()
    settled = await desk.settled(completion_id)
    assert (settled["cost_nanos"], settled["end_reason"]) == (0, "not_sent")


@pytest.mark.parametrize("streamed", [False, True])
async def test_or_dropped_where_the_model_says_so_and_the_client_is_told(desk: Desk, streamed: bool) -> None:
    lenient = await published(desk, f"{desk.name}-lenient", drop_unsupported=True)
    answers(desk, (stream if streamed else message)(TEXT))
    answer = await desk.ask(model=lenient, seed=1, logprobs=True, temperature=1.5, stream=streamed)
    assert answer.status == 200
    assert answer.headers["x-gateway-dropped-parameters"] == "temperature, seed, logprobs"
    assert desk.provider.received[0].body["temperature"] == 1
    assert "seed" not in desk.provider.received[0].body


ERRORS: list[tuple[int, str, type[openai.APIStatusError]]] = [
    (400, "invalid_request_error", openai.BadRequestError),
    (429, "rate_limit_error", openai.RateLimitError),
    (401, "authentication_error", openai.InternalServerError),
    (404, "not_found_error", openai.InternalServerError),
    (500, "api_error", openai.InternalServerError),
    (529, "overloaded_error", openai.InternalServerError),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("status", "kind", "raised"), ERRORS)
async def test_errors(
    desk: Desk, claude: str, sdk: openai.AsyncOpenAI, status: int, kind: str, raised: type[openai.APIStatusError], streamed: bool
) -> None:
    words = f"max_tokens: too many; {desk.provider.url} sk-of-the-provider"
    answers(desk, error(kind, words), status=status, headers={"retry-after": "7"})
    with pytest.raises(raised) as caught:
        await sdk.chat.completions.create(model=claude, messages=HELLO, stream=streamed)
    shown = caught.value.response.text
    assert "sk-of-the-provider" not in shown
    assert desk.provider.url not in shown
    if status == 400:
        assert caught.value.param == "max_tokens"
    if status in (429, 529):
        assert caught.value.response.headers["retry-after"] == "7"
    if status == 529:
        assert caught.value.status_code == 503
    (completion_id,) = await desk.admissions()
    assert (await desk.settled(completion_id))["cost_nanos"] == 0


async def test_an_error_before_the_answer_is_an_error_of_its_class(desk: Desk, claude: str, sdk: openai.AsyncOpenAI) -> None:
    answers(desk, b"event: error\ndata: " + error("overloaded_error") + b"\n\n")
    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.chat.completions.create(model=claude, messages=HELLO, stream=True)
    assert raised.value.status_code == 503


async def test_an_error_within_the_answer_ends_the_stream_and_what_was_seen_is_paid(
    desk: Desk, claude: str, sdk: openai.AsyncOpenAI
) -> None:
    whole = stream({"type": "text", "text": "Hello there"}, usage=CACHED)
    half = whole[: whole.index(b"event: content_block_stop")]
    answers(desk, half + b"event: error\ndata: " + error("overloaded_error") + b"\n\n")
    raw = await sdk.chat.completions.with_raw_response.create(model=claude, messages=HELLO, stream=True)
    said: list[str] = []

    async def read() -> None:
        async for chunk in raw.parse():
            said.extend(choice.delta.content or "" for choice in chunk.choices)

    with pytest.raises(openai.APIError):
        await read()
    assert "".join(said) == "Hello there"
    settled = await desk.settled(raw.headers["x-gateway-completion-id"])
    (attempt,) = settled["attempts"]
    assert (settled["end_reason"], settled["usage_source"], attempt["outcome"]) == ("cut", "estimated", "unknown")
    assert attempt["usage"] == {"input": 1_003, "cached_input": 20_001, "cache_write": 2_006, "cache_write_1h": 1_001, "output": 3}
    assert settled["cost_nanos"] == CACHED_NANOS - (507 - 3) * 15_000
    assert attempt["raw_usage"]["output_tokens"] == 1


async def test_the_published_price_is_adopted_with_every_kind_of_cached_token(desk: Desk) -> None:
    name = f"{desk.name}-priced"
    body = {"id": name, "name": name, "provider": "anthropic", "provider_model": "claude-sonnet-4-6", "credential_id": desk.name}
    made = await desk.gateway.done("POST", "/admin/models", body)
    assert made["price_source"] == "genai-prices"
    assert {field: usd for field, usd in made["price"].items() if field.startswith("cache")} == {
        "cached_input_usd_per_million": 0.3,
        "cache_write_usd_per_million": 3.75,
        "cache_write_1h_usd_per_million": 6.0,
    }
    answers(desk, message(TEXT, usage=CACHED))
    answer = await desk.ask(model=name, messages=MESSAGES)
    assert (await desk.settled(answer.headers["x-gateway-completion-id"]))["cost_nanos"] == CACHED_NANOS
