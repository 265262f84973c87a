"""Azure OpenAI: where its deployments are, and what its content filter adds."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from adapters.price_book import rates
from adapters.providers import PROVIDERS
from adapters.providers.azure import API_VERSION, AzureStream, address
from application.ports import ChatCall, ProviderFailure
from domain.price import Price, cost_lines, cost_nanos
from tests.providers.test_anthropic import NOON
from tests.providers.test_openai import target
from tests.providers.test_openai_stream import cut, payloads
from tests.scripted_provider import chunk

AZURE = PROVIDERS["azure_openai"]
HOST = "https://res.openai.azure.com"
DATED = f"{HOST}/openai/deployments/gpt%2F4/chat/completions"

ADDRESSES = {
    HOST: f"{DATED}?api-version={API_VERSION}",
    f"{HOST}/": f"{DATED}?api-version={API_VERSION}",
    f"{HOST}/openai/": f"{DATED}?api-version={API_VERSION}",
    f"{HOST}?api-version=2025-01-01-preview": f"{DATED}?api-version=2025-01-01-preview",
    f"{HOST}/openai?a=b": f"{DATED}?a=b&api-version={API_VERSION}",
    f"{HOST}/openai/deployments/mine": f"{HOST}/openai/deployments/mine/chat/completions?api-version={API_VERSION}",
    f"{HOST}/openai/deployments/mine/chat/completions?api-version=1": f"{HOST}/openai/deployments/mine/chat/completions?api-version=1",
    f"{HOST}/openai/v1": f"{HOST}/openai/v1/chat/completions",
    f"{HOST}/openai/v1/": f"{HOST}/openai/v1/chat/completions",
    f"{HOST}/openai/v1/chat/completions": f"{HOST}/openai/v1/chat/completions",
    f"{HOST}/openai/v1?api-version=preview": f"{HOST}/openai/v1/chat/completions?api-version=preview",
    "https://apim.example/team/openai": f"https://apim.example/team/openai/deployments/gpt%2F4/chat/completions?api-version={API_VERSION}",
}


@pytest.mark.parametrize(("endpoint", "whole"), ADDRESSES.items())
def test_an_endpoint_is_the_resource_or_goes_further(endpoint: str, whole: str) -> None:
    assert address(endpoint, "gpt/4") == whole


def test_the_credential_names_the_deployment_or_else_the_model_does() -> None:
    chat = ChatCall(body={"messages": [], "seed": 5}, output_cap=9, stream=False)
    named = AZURE.request(chat, target(endpoint=HOST, deployment="east"))
    assert named.url == f"{HOST}/openai/deployments/east/chat/completions?api-version={API_VERSION}"
    assert orjson.loads(named.body) == {"messages": [], "seed": 5, "model": "east", "max_completion_tokens": 9}
    unnamed = AZURE.request(chat, target(endpoint=f"{HOST}/openai/v1"))
    assert orjson.loads(unnamed.body)["model"] == "theirs"


def test_the_key_goes_in_azures_own_header() -> None:
    chat = ChatCall(body={}, output_cap=9, stream=False)
    assert AZURE.request(chat, target(endpoint=HOST)).headers == {"Content-Type": "application/json", "api-key": "sk-1"}
    assert "api-key" not in AZURE.request(chat, target(endpoint=HOST, secret="")).headers


FILTERED = {"hate": {"filtered": False, "severity": "safe"}}
PROMPT = [{"prompt_index": 0, "content_filter_results": FILTERED}]


def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    return b"data: " + orjson.dumps(chunk(choices) | more) + b"\n\n"


def choice(delta: dict[str, Any] | None, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": finish_reason, **({} if delta is None else {"delta": delta}), **more}


STREAM = (
    event([], id="", model="", prompt_filter_results=PROMPT)
    + event([choice({"role": "assistant", "content": ""}, content_filter_results={})])
    + event([choice({"content": "Hello"}, content_filter_results=FILTERED)])
    + event([choice(None, content_filter_results=FILTERED, content_filter_offsets={"check_offset": 44})], id="")
    + event([choice({}, "content_filter", content_filter_results={"hate": {"filtered": True, "severity": "high"}})])
    + event([], usage={"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 4}})
    + b"data: [DONE]\n\n"
)


def seen(pieces: list[bytes], *, include_usage: bool = False) -> tuple[bytes, object, object, int, bool, bool, ProviderFailure | None]:
    parser = AzureStream("shown", include_usage=include_usage)
    sent = b"".join(parser.feed(piece) for piece in pieces) + parser.end()
    return sent, parser.usage, parser.raw_usage, parser.output_tokens_seen, parser.content_begun, parser.done, parser.failure


def test_what_the_filter_says_of_the_prompt_comes_with_the_first_choice() -> None:
    """Many clients take the first choice of every chunk that has no usage."""
    chunks = payloads(seen([STREAM])[0])
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
        assert each["choices"]
    assert [each.get("prompt_filter_results") for each in chunks] == [PROMPT, None, None, None]
    assert chunks[2]["choices"] == [
        choice({}, content_filter_results=FILTERED, content_filter_offsets={"check_offset": 44}),
    ]


def test_an_answer_that_the_filter_ended_is_whole() -> None:
    sent, usage, *_, done, failure = seen([STREAM], include_usage=True)
    assert (usage, done, failure) == ({"input": 6, "cached_input": 4, "output": 1}, True, None)
    last, report = payloads(sent)[-2:]
    assert last["choices"][0]["finish_reason"] == "content_filter"  # type: ignore[index]
    assert (report["choices"], report["usage"]["total_tokens"]) == ([], 11)  # type: ignore[index]


@given(st.lists(st.integers(min_value=0), max_size=40), st.booleans())
def test_where_the_bytes_are_cut_never_shows(at: list[int], include_usage: bool) -> None:
    assert seen(cut(STREAM, at), include_usage=include_usage) == seen([STREAM], include_usage=include_usage)


@pytest.mark.parametrize("choices", [None, 5, [5], [None], {}, [[]]])
def test_chunks_of_any_shape_pass(choices: Any) -> None:
    data = b"data: " + orjson.dumps({"choices": choices, "prompt_filter_results": PROMPT}) + b"\n\n"
    assert seen([data])[-1] is None


REFUSED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": FILTERED},
    }
}


def test_a_prompt_that_the_filter_refused_keeps_its_code() -> None:
    failure = AZURE.failure(400, {}, orjson.dumps(REFUSED))
    assert (failure.status, failure.type, failure.code, failure.param) == (400, "invalid_request_error", "content_filter", "prompt")
    in_stream = seen([b"data: " + orjson.dumps(REFUSED) + b"\n\n"])[-1]
    assert in_stream == failure


ERRORS = [
    (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}, 502, "provider_credential_refused"),
    (404, {"error": {"code": "DeploymentNotFound", "message": "no deployment"}}, 502, "provider_model_not_found"),
    (429, {"error": {"code": "429", "message": "exceeded token rate limit of your S0 tier"}}, 429, "rate_limit_exceeded"),
    (503, {"statusCode": 503, "message": "down"}, 503, "provider_unavailable"),
    (400, {"error": {"code": "context_length_exceeded", "message": "too long", "param": "messages"}}, 400, "context_length_exceeded"),
]


@pytest.mark.parametrize(("status", "body", "ours", "code"), ERRORS)
def test_errors_keep_their_class(status: int, body: dict[str, Any], ours: int, code: str) -> None:
    failure = AZURE.failure(status, {"retry-after": "3"}, orjson.dumps(body))
    assert (failure.status, failure.code, failure.retry_after) == (ours, code, "3" if ours in (429, 503) else None)


def test_what_a_report_costs_by_azures_published_prices() -> None:
    report = {"prompt_tokens": 1_003, "completion_tokens": 507, "prompt_tokens_details": {"cached_tokens": 896}}
    used = AZURE.answer(orjson.dumps({"choices": [], "usage": report}), target()).usage
    published = rates("azure_openai", "gpt-4o", NOON)
    assert used is not None
    assert published is not None
    price = Price(price_id="p.1", source="genai-prices", rates=published)
    # $2.50, $1.25 and $10.00 per million
    assert cost_nanos(cost_lines(used, price)) == 107 * 2_500 + 896 * 1_250 + 507 * 10_000  # type: ignore[arg-type]
