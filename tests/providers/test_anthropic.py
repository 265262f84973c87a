"""Anthropic's whole answers, its errors, and what its reports cost."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from adapters.price_book import rates
from adapters.providers import PROVIDERS
from adapters.providers.anthropic_usage import categories, in_openai_words
from application.ports import ProviderFailure
from domain.price import Category, Price, Tier, cost_lines, cost_nanos
from tests.providers.anthropic_asking import target
from tests.providers.anthropic_wire import CACHED, NOW, PARIS, REDACTED, TEXT, THINKING, error, message

ANTHROPIC = PROVIDERS["anthropic"]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def answered(body: bytes, **changes: Any) -> dict[str, Any]:
    completion: dict[str, Any] = orjson.loads(ANTHROPIC.answer(body, target(created=1_700_000_000, **changes)).body)
    ChatCompletion.model_validate(completion)
    return completion


def choice(body: bytes, **changes: Any) -> dict[str, Any]:
    (only,) = answered(body, **changes)["choices"]
    found: dict[str, Any] = only
    return found


def test_a_plain_answer() -> None:
    assert answered(message(TEXT)) == {
        "id": "msg_01",
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


def test_parallel_tool_calls() -> None:
    found = choice(message(TEXT, PARIS, NOW, stop_reason="tool_use"))
    assert found["finish_reason"] == "tool_calls"
    assert found["message"]["tool_calls"] == [
        {"id": "toolu_01", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris","days":[1,2]}'}},
        {"id": "toolu_02", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]
    assert choice(message(PARIS, stop_reason="tool_use"))["message"]["content"] is None


def test_who_speaks_of_functions_is_answered_so() -> None:
    found = choice(message(PARIS, stop_reason="tool_use"), legacy_functions=True)
    assert found["finish_reason"] == "function_call"
    assert found["message"]["function_call"] == {"name": "weather", "arguments": '{"city":"Paris","days":[1,2]}'}
    assert "tool_calls" not in found["message"]


def test_thoughts_are_shown_and_kept_so_that_they_can_come_back() -> None:
    said = choice(message(THINKING, REDACTED, TEXT))["message"]
    assert (said["content"], said["reasoning_content"]) == ("Hello there, friend", "Let me see. Yes.")
    assert said["thinking_blocks"] == [THINKING, REDACTED]


REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


@pytest.mark.parametrize(("theirs", "ours"), REASONS.items())
def test_reasons_to_stop(theirs: str, ours: str) -> None:
    assert choice(message(TEXT, stop_reason=theirs))["finish_reason"] == ours


def test_reasons_and_blocks_that_are_new_to_us_do_no_harm() -> None:
    said = orjson.loads(message(TEXT))
    new = {**said, "stop_reason": "novel", "content": [{"type": "novel"}, "odd", *said["content"]], "usage": {**said["usage"], "new": 1}}
    found = choice(orjson.dumps(new))
    assert (found["finish_reason"], found["message"]["content"]) == ("stop", "Hello there, friend")


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    assert choice(message(stop_reason="refusal", stop_details=details))["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "Not this.",
    }


NO_ANSWERS = [b"", b"[]", b"<html>", b"{}", b'{"content": 1}', error("api_error"), b'{"content":[{"type":"tool_use","input":' + b"[" * 300]


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the port says no more)
        ANTHROPIC.answer(body, target())


FIELDS = st.sampled_from(["content", "type", "text", "input", "usage", "stop_reason", "id", "thinking", "stop_details", "name"])
JSON = st.recursive(
    st.none() | st.integers(-9, 9) | st.sampled_from(["text", "tool_use", "thinking", "refusal", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(FIELDS, JSON) | st.binary(max_size=20))
def test_garbage_is_an_answer_or_is_refused(said: dict[str, Any] | bytes) -> None:
    try:
        ANTHROPIC.answer(said if isinstance(said, bytes) else orjson.dumps(said), target())
    except ValueError:
        return


REPORTS: list[tuple[Any, dict[str, int] | None]] = [
    ({"input_tokens": 9, "output_tokens": 2}, {"input": 9, "output": 2}),
    (CACHED, {"input": 1_003, "cached_input": 20_001, "cache_write": 2_006, "cache_write_1h": 1_001, "output": 507}),
    ({"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 5}, {"input": 1, "output": 2, "cache_write": 5}),
    (
        {"input_tokens": 1, "output_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}},
        {"input": 1, "output": 2, "cache_write": 3, "cache_write_1h": 4},
    ),
    (
        {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 50}},
        {"input": 1, "output": 2, "cache_write_1h": 3},
    ),
    ({"input_tokens": 0, "output_tokens": 0, "cache_creation": None, "cache_read_input_tokens": None}, {}),
    ({"input_tokens": 1}, None),
    ({"input_tokens": -1, "output_tokens": 2}, None),
    ({"input_tokens": True, "output_tokens": 2}, None),
    ({"input_tokens": 10**12, "output_tokens": 2}, None),
    ({}, None),
    ("much", None),
    (None, None),
]


@pytest.mark.parametrize(("report", "used"), REPORTS)
def test_usage_becomes_disjoint_categories_or_counts_as_not_reported(report: Any, used: dict[str, int] | None) -> None:
    assert categories(report) == used


def test_the_report_is_kept_verbatim_and_shown_in_openais_words() -> None:
    answer = ANTHROPIC.answer(message(TEXT, usage={**CACHED, "output_tokens_details": {"thinking_tokens": 400}}), target())
    assert answer.raw_usage is not None
    assert answer.raw_usage["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}
    shown = orjson.loads(answer.body)
    assert shown["service_tier"] == "default"
    assert shown["usage"] == {
        "prompt_tokens": 24_011,
        "completion_tokens": 507,
        "total_tokens": 24_518,
        "prompt_tokens_details": {"cached_tokens": 20_001, "cache_write_tokens": 3_007},
        "completion_tokens_details": {"reasoning_tokens": 400},
    }


@given(st.dictionaries(st.sampled_from([*CACHED]), JSON | st.integers(0, 99)))
def test_any_report_can_be_shown(report: dict[str, Any]) -> None:
    categories(report)
    assert in_openai_words(report)["prompt_tokens"] >= 0


def test_an_answer_without_usage_is_counted() -> None:
    said = orjson.loads(message(TEXT, PARIS))
    del said["usage"]
    answer = ANTHROPIC.answer(orjson.dumps(said), target())
    assert (answer.usage, answer.raw_usage) == (None, None)
    assert answer.output_tokens_seen >= 8


def cost(model: str, report: dict[str, Any]) -> int:
    adopted, used = rates("anthropic", model, NOON), categories(report)
    assert adopted is not None
    assert used is not None
    price = Price(price_id="1", source="genai-prices", rates=adopted)
    return cost_nanos(cost_lines({Category(name): quantity for name, quantity in used.items()}, price))


COSTS = [
    # In nano-dollars a token: input 3,000, read from the cache 300, written for 5 minutes 3,750, for an hour 6,000, output 15,000.
    ("claude-sonnet-4-6", dict(CACHED), 1_003 * 3_000 + 20_001 * 300 + 2_006 * 3_750 + 1_001 * 6_000 + 507 * 15_000),
    ("claude-sonnet-4-6", {"input_tokens": 7, "output_tokens": 3}, 7 * 3_000 + 3 * 15_000),
    # 5,000, 500, 6,250, 10,000, 25,000.
    ("claude-opus-4-6", dict(CACHED), 1_003 * 5_000 + 20_001 * 500 + 2_006 * 6_250 + 1_001 * 10_000 + 507 * 25_000),
    # 250, 30, 300, 500, 1,250: here a cached token costs 30 nano-dollars.
    ("claude-3-haiku-20240307", {"input_tokens": 1, "cache_read_input_tokens": 33, "output_tokens": 1}, 250 + 33 * 30 + 1_250),
    # Sonnet 4.5's prompts above 200,000 tokens, the cached ones counted, cost 6,000, 600 and 22,500.
    (
        "claude-sonnet-4-5",
        {"input_tokens": 1_000, "cache_read_input_tokens": 199_001, "output_tokens": 10},
        1_000 * 6_000 + 199_001 * 600 + 10 * 22_500,
    ),
    (
        "claude-sonnet-4-5",
        {"input_tokens": 1_000, "cache_read_input_tokens": 199_000, "output_tokens": 10},
        1_000 * 3_000 + 199_000 * 300 + 10 * 15_000,
    ),
]


@pytest.mark.parametrize(("model", "report", "nanos"), COSTS)
def test_costs_are_those_that_anthropic_publishes(model: str, report: dict[str, Any], nanos: int) -> None:
    assert cost(model, report) == nanos


def test_what_is_written_to_the_cache_for_an_hour_costs_what_its_stand_ins_cost_where_it_has_no_price() -> None:
    one: dict[Category, tuple[Tier, ...]] = {Category.INPUT: (Tier(nanos_per_million=3 * 10**6),)}
    two = {**one, Category.CACHE_WRITE: (Tier(nanos_per_million=4 * 10**6),)}
    for known, nanos in ((one, 3), (two, 4)):
        assert cost_nanos(cost_lines({Category.CACHE_WRITE_1H: 1}, Price(price_id="1", source="given", rates=known))) == nanos


def failed(status: int, body: bytes, headers: dict[str, str] | None = None) -> ProviderFailure:
    return ANTHROPIC.failure(status, headers or {}, body)


BAD_REQUESTS = [
    ("max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-x", "max_tokens", None),
    ("messages.1.content.0.image.source.base64: invalid base64 data", "messages", None),
    ("system: text content blocks must be non-empty", "messages", None),
    ("stop_sequences: each stop sequence must contain non-whitespace", "stop", None),
    ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", None, None),
    ("`temperature` is deprecated for this model.", "temperature", None),
    ('"thinking.type.enabled" is not supported for this model.', "reasoning_effort", None),
    ('"thinking.type.disabled" is not supported for this model.', "reasoning_effort", None),
    ("output_config.format.schema: Schema is too complex.", "response_format", None),
    ("tools.0.custom.input_schema: JSON schema is invalid", "tools", None),
    ("prompt is too long: 210000 tokens > 200000 maximum", "messages", "context_length_exceeded"),
    ("input length and `max_tokens` exceed context limit: 1 + 2 > 2", "messages", "context_length_exceeded"),
    ("Something else\n  with a trace", None, None),
]


@pytest.mark.parametrize(("words", "param", "code"), BAD_REQUESTS)
def test_a_bad_request_keeps_its_words_and_names_what_the_client_calls_it(words: str, param: str | None, code: str | None) -> None:
    failure = failed(400, error("invalid_request_error", words))
    assert (failure.status, failure.message, failure.type) == (400, words.partition("\n")[0], "invalid_request_error")
    assert (failure.param, failure.code) == (param, code)


CLASSES = {400: 400, 413: 413, 429: 429, 504: 504, 529: 503, 503: 503}
BAD_GATEWAYS = dict.fromkeys([302, 401, 402, 403, 404, 409, 500], 502)


@pytest.mark.parametrize(("theirs", "ours"), [*CLASSES.items(), *BAD_GATEWAYS.items()])
def test_errors_keep_their_class(theirs: int, ours: int) -> None:
    assert failed(theirs, error("api_error")).status == ours
    assert failed(theirs, b"<html>").status == ours


OPERATORS = [
    (401, error("authentication_error", "invalid x-api-key sk-ant-1")),
    (402, error("billing_error", "Pay for org-9")),
    (403, error("permission_error", "org-9 may not")),
    (400, error("invalid_request_error", "Your credit balance is too low to access the Anthropic API (org-9).")),
    (400, error("invalid_request_error", "This organization org-9 has been disabled.")),
    (400, error("invalid_request_error", "You have reached your specified API usage limits. org-9 will regain access on 2026-12-01.")),
    (400, error("invalid_request_error", "org-9 is at its end", details={"error_code": "contract_spend_limit_reached"})),
]


@pytest.mark.parametrize(("status", "body"), OPERATORS)
def test_what_is_wrong_with_the_account_is_the_operators_own_business(status: int, body: bytes) -> None:
    failure = failed(status, body)
    assert (failure.status, failure.code) == (502, "provider_credential_refused")
    shown = f"{failure.message} {failure.type} {failure.param}"
    assert not any(private in shown for private in ("sk-ant-1", "org-9", "credit", "2026"))


def test_when_to_try_again_is_passed_on() -> None:
    assert failed(429, error("rate_limit_error"), {"retry-after": "7"}).retry_after == "7"
    assert failed(529, error("overloaded_error"), {"retry-after": "3"}).retry_after == "3"
    assert failed(500, error("api_error"), {"retry-after": "3"}).retry_after is None


@pytest.mark.parametrize(
    "body", [b"\xff", b"[]", b"null", b'{"error": 5}', b'{"error": {"message": 5, "details": []}}', b'{"message": "x"}']
)
def test_any_body_of_an_error_will_do(body: bytes) -> None:
    assert failed(400, body).status == 400
