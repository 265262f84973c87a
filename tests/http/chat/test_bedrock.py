"""Bedrock behind the gateway, as OpenAI's own SDK meets it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import openai
import orjson
import pytest

from adapters.providers.bedrock_signing import access, authorized
from domain.credential.commands import AddCredential
from domain.credential.events import SecretSource
from domain.ids import CredentialId, ModelId
from domain.model.commands import PriceModel
from domain.price import Category, Tier
from tests.http.chat.conftest import INPUT_NANOS, OUTPUT_NANOS, Desk
from tests.http.conftest import AWS_KEYS, Answer
from tests.providers.bedrock_wire import CACHED, NOW, PARIS, TEXT, THINKING, answer, event, exception, stream, taken
from tests.scripted_provider import Received, Script

MESSAGES: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("weather", "now")]
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NANOS = {"input": 3_300, "cached_input": 330, "cache_write": 4_125, "cache_write_1h": 6_600, "output": 16_500}
FRAMES = {"Content-Type": "application/vnd.amazon.eventstream"}


@dataclass(frozen=True)
class Bedrock:
    desk: Desk
    sdk: openai.AsyncOpenAI
    model: str

    def scripted(self, raw: bytes, **more: Any) -> None:
        self.desk.provider.script = Script(raw=raw, **more)

    async def ask(self, **changes: Any) -> Answer:
        return await self.desk.ask(model=self.model, **changes)

    def request(self) -> Received:
        return self.desk.provider.received[-1]

    async def settled(self) -> dict[str, Any]:
        return await self.desk.settled((await self.desk.admissions())[-1])


@pytest.fixture
async def bedrock(desk: Desk) -> AsyncIterator[Bedrock]:
    model = f"{desk.name}-bedrock"
    await desk.add_credential(model, endpoint=desk.provider.url, variable="AWS_KEYS")
    await desk.publish(model, credential=model, provider="aws_bedrock", provider_model=MODEL)
    async with openai.AsyncOpenAI(base_url=f"{desk.gateway.url}/v1", api_key=desk.secret, max_retries=0) as sdk:
        yield Bedrock(desk, sdk, model)


def signed_by(keys: str, received: Received, url: str) -> bool:
    """As Bedrock would verify it, from what has arrived."""
    headers = {name.lower(): value for name, value in received.headers.items()}
    at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    whole = {"Content-Type": headers["content-type"]}
    again = authorized(f"{url}{received.raw_path}", whole, orjson.dumps(received.body), access(keys), at)
    return again["Authorization"] == headers["authorization"]


async def test_a_plain_answer(bedrock: Bedrock) -> None:
    bedrock.scripted(answer(TEXT))
    completion = await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=MESSAGES, temperature=0.5)
    assert completion.choices[0].message.content == "Hello there, friend"
    assert completion.usage is not None
    assert (completion.model, completion.usage.total_tokens) == (bedrock.model, 15)
    sent = taken(orjson.dumps(bedrock.request().body))
    assert sent == {
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "inferenceConfig": {"maxTokens": 500, "temperature": 0.5},
    }
    settled = await bedrock.settled()
    assert settled["cost_nanos"] == 10 * INPUT_NANOS + 5 * OUTPUT_NANOS
    assert settled["attempts"][0]["usage_source"] == "reported"


@pytest.mark.parametrize("model", [MODEL, "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2"])
async def test_the_signature_fits_the_address_that_arrives(bedrock: Bedrock, model: str) -> None:
    name = f"{bedrock.model}-2"
    await bedrock.desk.publish(name, credential=bedrock.model, provider="aws_bedrock", provider_model=model)
    bedrock.scripted(answer(TEXT))
    await bedrock.sdk.chat.completions.create(model=name, messages=MESSAGES)
    received = bedrock.request()
    assert received.raw_path == f"/model/{model.replace(':', '%3A').replace('/', '%2F')}/converse"
    assert signed_by(AWS_KEYS, received, bedrock.desk.provider.url)
    assert not signed_by(AWS_KEYS.replace("secret-of-tests", "another"), received, bedrock.desk.provider.url)


async def test_an_api_key_goes_as_bearer(bedrock: Bedrock) -> None:
    name = f"{bedrock.model}-3"
    await bedrock.desk.add_credential(name, endpoint=bedrock.desk.provider.url, variable="PROVIDER_KEY")
    await bedrock.desk.publish(name, credential=name, provider="aws_bedrock", provider_model=MODEL)
    bedrock.scripted(answer(TEXT))
    await bedrock.sdk.chat.completions.create(model=name, messages=MESSAGES)
    assert bedrock.request().headers["Authorization"] == "Bearer sk-of-the-provider"


async def test_a_stream_with_its_usage(bedrock: Bedrock) -> None:
    bedrock.scripted(stream(THINKING, TEXT, usage=CACHED), headers=FRAMES, split_at=range(0, 2_000, 37))
    chunks = [
        chunk
        async for chunk in await bedrock.sdk.chat.completions.create(
            model=bedrock.model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    ]
    said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in said) == "Hello there, friend"
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in said) == "Let me see. Yes."
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.completion_tokens, chunks[-1].usage.prompt_tokens) == (507, 24_011)
    assert bedrock.request().raw_path.endswith("/converse-stream")


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_was_read_from_the_cache_and_written_to_it_is_priced_to_the_nano_dollar(bedrock: Bedrock, streamed: bool) -> None:
    rates: Mapping[Category, tuple[Tier, ...]] = {Category(name): (Tier(nanos_per_million=n * 10**6),) for name, n in NANOS.items()}
    await bedrock.desk.submit(PriceModel(model_id=ModelId(bedrock.model), source="given", rates=dict(rates)))
    bedrock.scripted((stream if streamed else answer)(TEXT, usage=CACHED), headers=FRAMES)
    assert (await bedrock.ask(stream=streamed)).status == 200
    settled = await bedrock.settled()
    assert settled["cost_nanos"] == 1_003 * 3_300 + 20_001 * 330 + 2_006 * 4_125 + 1_001 * 6_600 + 507 * 16_500
    assert settled["attempts"][0]["raw_usage"] == CACHED


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_round_trip_of_tools(bedrock: Bedrock, streamed: bool) -> None:
    bedrock.scripted((stream if streamed else answer)(PARIS, NOW, stop_reason="tool_use"), headers=FRAMES)
    if streamed:
        async with bedrock.sdk.chat.completions.stream(model=bedrock.model, messages=MESSAGES, tools=TOOLS) as answers:
            completion: Any = await answers.get_final_completion()
    else:
        completion = await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=MESSAGES, tools=TOOLS)
    asked = completion.choices[0]
    assert asked.finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"of {call.function.name}"} for call in asked.message.tool_calls]

    bedrock.scripted(answer(TEXT))
    turns = [*MESSAGES, asked.message.model_dump(include={"role", "content", "tool_calls"}), *results]
    await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=turns, tools=TOOLS)
    _, called, returned = taken(orjson.dumps(bedrock.request().body))["messages"]
    assert called["content"] == [PARIS, NOW]
    assert [block["toolResult"]["toolUseId"] for block in returned["content"]] == ["tooluse_01", "tooluse_02"]


async def test_what_converse_can_not_do_is_refused_and_nothing_is_sent(bedrock: Bedrock) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=MESSAGES, seed=5)
    assert (raised.value.param, raised.value.code) == ("seed", "unsupported_parameter")
    assert not bedrock.desk.provider.received
    settled = await bedrock.settled()
    assert (settled["end_reason"], settled["cost_nanos"]) == ("not_sent", 0)


async def test_it_is_dropped_and_told_where_the_model_says_so(bedrock: Bedrock) -> None:
    name = f"{bedrock.model}-4"
    await bedrock.desk.publish(name, credential=bedrock.model, provider="aws_bedrock", provider_model=MODEL)
    changed = await bedrock.desk.gateway.done("PUT", f"/admin/models/{name}", {"config": {"drop_unsupported": True}})
    assert changed["config"]["drop_unsupported"] is True
    bedrock.scripted(answer(TEXT))
    shown = await bedrock.desk.ask(model=name, seed=5, temperature=1.5)
    assert (shown.status, shown.headers["x-gateway-dropped-parameters"]) == (200, "seed, temperature")


ERRORS = [
    (400, "ValidationException", openai.BadRequestError, None),
    (403, "AccessDeniedException", openai.InternalServerError, "provider_credential_refused"),
    (408, "ModelTimeoutException", openai.InternalServerError, "provider_timeout"),
    (429, "ThrottlingException", openai.RateLimitError, "rate_limit_exceeded"),
    (503, "ServiceUnavailableException", openai.InternalServerError, "provider_unavailable"),
]


@pytest.mark.parametrize(("status", "name", "raises", "code"), ERRORS)
async def test_errors_keep_their_class_and_say_nothing_of_the_account(
    bedrock: Bedrock, status: int, name: str, raises: type[openai.APIStatusError], code: str | None
) -> None:
    words = orjson.dumps({"message": "User: arn:aws:iam::123456789012:user/x is not allowed"})
    bedrock.scripted(words, status=status, headers={"x-amzn-errortype": f"{name}:http://internal.amazon.com/"})
    with pytest.raises(raises) as raised:
        await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=MESSAGES)
    assert raised.value.code == code
    assert "123456789012" not in str(raised.value)


async def test_an_exception_before_the_first_word_has_its_own_status(bedrock: Bedrock) -> None:
    bedrock.scripted(exception("throttlingException", "slow down"), headers=FRAMES)
    with pytest.raises(openai.RateLimitError):
        await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=MESSAGES, stream=True)


async def test_an_exception_after_it_is_an_error_in_the_stream(bedrock: Bedrock) -> None:
    begun = event("messageStart", role="assistant") + event("contentBlockDelta", contentBlockIndex=0, delta={"text": "12345678"})
    bedrock.scripted(begun + exception("modelStreamErrorException", "broke"), headers=FRAMES)
    answers = await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in answers]
    settled = await bedrock.settled()
    assert (settled["end_reason"], settled["attempts"][0]["usage_source"]) == ("cut", "estimated")
    assert settled["attempts"][0]["usage"]["output"] == 2


async def test_a_stream_that_is_cut_is_an_error(bedrock: Bedrock) -> None:
    bedrock.scripted(stream(TEXT), headers=FRAMES, cut_after_bytes=700)
    answers = await bedrock.sdk.chat.completions.create(model=bedrock.model, messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in answers]


async def test_the_machines_own_credentials_go_to_nobody_but_bedrock(bedrock: Bedrock) -> None:
    name = f"{bedrock.model}-5"
    own = SecretSource(source="aws")
    await bedrock.desk.submit(
        AddCredential(credential_id=CredentialId(name), name=name, credential_type="openai", secret=own, endpoint=bedrock.desk.provider.url)
    )
    await bedrock.desk.publish(name, credential=name, provider="openai_compatible")
    shown = await bedrock.desk.ask(model=name)
    assert (shown.status, shown.error["code"]) == (503, "credential_unavailable")
    assert not bedrock.desk.provider.received


async def test_a_credential_without_a_secret_stands_for_awss_default_chain(bedrock: Bedrock) -> None:
    name = f"{bedrock.model}-6"
    added = {"id": name, "name": name, "credential_type": "bedrock", "endpoint": "eu-west-1"}
    shown = await bedrock.desk.gateway.done("POST", "/admin/credentials", added)
    assert (shown["credential_type"], shown["api_key_env"]) == ("aws_bedrock", None)
    (recorded,) = (await bedrock.desk.gateway.done("GET", f"/admin/events?stream=main/credential/{name}"))["events"]
    assert recorded["data"]["secret"]["source"] == "aws"
