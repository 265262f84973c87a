"""Bedrock's whole answers, its errors, and what its reports cost."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion

from adapters.price_book import rates
from adapters.providers.anthropic_usage import categories
from adapters.providers.bedrock_answer import report_of
from application.ports import ProviderFailure
from domain.price import Price, cost_lines, cost_nanos
from tests.providers.bedrock_wire import CACHED, NOW, PARIS, REDACTED, TEXT, THINKING, USAGE, answer
from tests.providers.test_bedrock_request import BEDROCK, TARGET

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def answered(body: bytes, **changes: Any) -> dict[str, Any]:
    completion: dict[str, Any] = orjson.loads(BEDROCK.answer(body, replace(TARGET, created=1_700_000_000, **changes)).body)
    ChatCompletion.model_validate(completion)
    return completion


def choice(body: bytes, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = answered(body, **changes)["choices"][0]
    return found


def test_a_plain_answer() -> None:
    assert answered(answer(TEXT)) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "mine",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there, friend", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        },
    }


def test_calls_of_tools() -> None:
    found = choice(answer(TEXT, PARIS, NOW, stop_reason="tool_use"))
    calls = found["message"]["tool_calls"]
    assert found["finish_reason"] == "tool_calls"
    assert [(call["id"], call["type"], call["function"]["name"]) for call in calls] == [
        ("tooluse_01", "function", "weather"),
        ("tooluse_02", "function", "now"),
    ]
    assert [orjson.loads(call["function"]["arguments"]) for call in calls] == [PARIS["toolUse"]["input"], {}]
    assert choice(answer(NOW, stop_reason="tool_use"), legacy_functions=True)["message"]["function_call"] == {
        "name": "now",
        "arguments": "{}",
    }


def test_thoughts_are_told_and_can_be_sent_back() -> None:
    said = choice(answer(THINKING, REDACTED, TEXT))["message"]
    assert said["reasoning_content"] == "Let me see. Yes."
    assert said["thinking_blocks"] == [
        {"type": "thinking", "thinking": "Let me see. Yes.", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
    ]


def test_citations_are_text_and_blocks_that_nobody_knows_are_passed_over() -> None:
    cited = {"citationsContent": {"content": [{"text": "So it "}, {"text": "says."}], "citations": []}}
    searched = {"toolUse": {"toolUseId": "t", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
    assert choice(answer(searched, cited))["message"]["content"] == "So it says."


REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "something_new": "stop",
}


@pytest.mark.parametrize(("theirs", "ours"), REASONS.items())
def test_why_it_ended(theirs: str, ours: str) -> None:
    assert choice(answer(TEXT, stop_reason=theirs))["finish_reason"] == ours


def test_usage_is_kept_as_it_was_reported_and_in_disjoint_categories() -> None:
    kept = BEDROCK.answer(answer(TEXT, usage=CACHED), TARGET)
    assert kept.raw_usage == CACHED
    assert kept.usage == {"input": 1_003, "cached_input": 20_001, "cache_write": 2_006, "cache_write_1h": 1_001, "output": 507}
    assert orjson.loads(kept.body)["usage"] == {
        "prompt_tokens": 24_011,
        "completion_tokens": 507,
        "total_tokens": 24_518,
        "prompt_tokens_details": {"cached_tokens": 20_001, "cache_write_tokens": 3_007},
    }


@pytest.mark.parametrize(
    "usage", [{}, {"inputTokens": 1}, {"inputTokens": "1", "outputTokens": 2}, {"inputTokens": -1, "outputTokens": 2}, 5, None]
)
def test_a_report_that_can_not_be_understood_is_none(usage: Any) -> None:
    assert categories(report_of(usage)) is None


def test_an_answer_without_usage_is_counted() -> None:
    body = orjson.loads(answer(TEXT))
    del body["usage"]
    kept = BEDROCK.answer(orjson.dumps(body), TARGET)
    assert (kept.usage, kept.raw_usage, kept.output_tokens_seen) == (None, None, 5)
    assert "usage" not in orjson.loads(kept.body)


NO_ANSWERS = [b"", b"[]", b"<html>", b"{}", b'{"output": {}}', b'{"output": {"message": {"content": 5}}}', b'{"message": "no"}']


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the port says no more)
        BEDROCK.answer(body, TARGET)


SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
COSTS = [
    # $3.30, $0.33, $4.125, $6.60 and $16.50 per million, worked out by hand
    (SONNET, CACHED, 1_003 * 3_300 + 20_001 * 330 + (2_006 * 4_125 + 1_001 * 6_600) + 507 * 16_500),
    ("amazon.nova-lite-v1:0", USAGE, 10 * 60 + 5 * 240),
    ("amazon.nova-lite-v1:0", {**USAGE, "cacheReadInputTokens": 7}, 10 * 60 + 7 * 15 + 5 * 240),
]


@pytest.mark.parametrize(("model", "usage", "nanos"), COSTS)
def test_what_a_report_costs_by_awss_published_prices(model: str, usage: dict[str, Any], nanos: int) -> None:
    published = rates("aws_bedrock", model, NOON)
    assert published is not None
    used = BEDROCK.answer(answer(TEXT, usage=usage), TARGET).usage
    assert used is not None
    price = Price(price_id="p.1", source="genai-prices", rates=published)
    assert cost_nanos(cost_lines(used, price)) == nanos  # type: ignore[arg-type]


def failure(status: int, name: str, message: str = "words", **headers: str) -> ProviderFailure:
    return BEDROCK.failure(status, {"x-amzn-errortype": name, **headers}, orjson.dumps({"message": message}))


ERRORS = [
    (400, "ValidationException", 400, None),
    (400, "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/", 400, None),
    (403, "AccessDeniedException", 502, "provider_credential_refused"),
    (403, "UnrecognizedClientException", 502, "provider_credential_refused"),
    (403, "ExpiredTokenException", 502, "provider_credential_refused"),
    (404, "ResourceNotFoundException", 502, "provider_model_not_found"),
    (408, "ModelTimeoutException", 504, "provider_timeout"),
    (429, "ThrottlingException", 429, "rate_limit_exceeded"),
    (400, "ServiceQuotaExceededException", 429, "rate_limit_exceeded"),
    (429, "ModelNotReadyException", 503, "provider_unavailable"),
    (424, "ModelErrorException", 502, "provider_error"),
    (500, "InternalServerException", 502, "provider_error"),
    (503, "ServiceUnavailableException", 503, "provider_unavailable"),
    (429, "SomethingNew", 429, "rate_limit_exceeded"),
    (418, "", 502, "provider_error"),
]


@pytest.mark.parametrize(("status", "name", "ours", "code"), ERRORS)
def test_an_error_keeps_its_class(status: int, name: str, ours: int, code: str | None) -> None:
    shown = failure(status, name)
    assert (shown.status, shown.code) == (ours, code)
    in_body = BEDROCK.failure(status, {}, orjson.dumps({"__type": f"com.amazon.coral#{name}", "Message": "words"}))
    assert in_body == shown


def test_a_bad_request_keeps_its_words_but_for_what_is_the_operators() -> None:
    words = (
        "The guardrail arn:aws:bedrock:us-east-1:123456789012:guardrail/abc of 123456789012 (AKIAIOSFODNN7EXAMPLE) can't take maxTokens 9."
    )
    shown = failure(400, "ValidationException", words)
    assert (shown.status, shown.message) == (400, "The guardrail *** of *** (***) can't take maxTokens 9.")


OPERATORS = [
    "The provided model identifier is invalid.",
    "Invocation of model ID amazon.nova-2 with on-demand throughput isn't supported. Retry with an inference profile.",
]


@pytest.mark.parametrize("words", OPERATORS)
def test_a_model_that_is_set_up_wrongly_is_not_the_clients_fault(words: str) -> None:
    shown = failure(400, "ValidationException", words)
    assert (shown.status, shown.code) == (502, "provider_model_not_found")
    assert "nova" not in shown.message


TOO_LONG = [
    "Input is too long for requested model.",
    "The model returned the following errors: prompt is too long: 210012 tokens > 200000 maximum",
    "Too many input tokens. Max input tokens: 8192, request input token count: 9001",
]


@pytest.mark.parametrize("words", TOO_LONG)
def test_a_prompt_that_is_too_long_has_openais_code(words: str) -> None:
    assert (failure(400, "ValidationException", words).code, failure(400, "ValidationException", words).param) == (
        "context_length_exceeded",
        "messages",
    )


@pytest.mark.parametrize(
    ("status", "name"), [(403, "AccessDeniedException"), (404, "ResourceNotFoundException"), (429, "ThrottlingException")]
)
def test_what_is_the_operators_own_business_is_not_shown(status: int, name: str) -> None:
    shown = failure(status, name, "User: arn:aws:iam::123456789012:user/ann is not authorized on amazon.nova-2")
    assert not any(private in shown.message for private in ("arn:", "1234", "ann", "nova"))


def test_when_to_come_again_is_passed_on() -> None:
    assert failure(429, "ThrottlingException", **{"retry-after": "7"}).retry_after == "7"


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"message": 5}', b'{"__type": 5}'])
def test_any_body_of_an_error_will_do(body: bytes) -> None:
    assert BEDROCK.failure(400, {}, body).message == "The provider refused this request."
