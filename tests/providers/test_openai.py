"""The translator for OpenAI and its like."""

from typing import Any

import orjson
import pytest

from adapters.providers import PROVIDERS
from adapters.providers.openai import address
from adapters.providers.openai_usage import RAW_BYTES_MAX, categories, verbatim
from application.ports import ChatCall, Target

MESSAGES = [{"role": "user", "content": "hello"}]


def target(**changes: Any) -> Target:
    return Target(
        **{"model_id": "mine", "provider_model": "theirs", "endpoint": "http://there", "secret": "sk-1", "defaults": {}, **changes}
    )


def sent(body: dict[str, Any], provider: str = "openai", *, stream: bool = False, **changes: Any) -> dict[str, Any]:
    chat = ChatCall(body={"model": "mine", "messages": MESSAGES, **body}, output_cap=99, stream=stream)
    written: dict[str, Any] = orjson.loads(PROVIDERS[provider].request(chat, target(**changes)).body)
    return written


ADDRESSES = {
    "https://x.example": "https://x.example/v1/chat/completions",
    "https://x.example/": "https://x.example/v1/chat/completions",
    "https://x.example/v1": "https://x.example/v1/chat/completions",
    "https://x.example/v1/": "https://x.example/v1/chat/completions",
    "https://x.example/api": "https://x.example/api/v1/chat/completions",
    "https://x.example/v1beta/openai/": "https://x.example/v1beta/openai/chat/completions",
    "https://x.example/ai/chat/completions": "https://x.example/ai/chat/completions",
}


@pytest.mark.parametrize(("endpoint", "whole"), ADDRESSES.items())
def test_an_endpoint_may_leave_out_its_version_or_be_the_whole_address(endpoint: str, whole: str) -> None:
    assert address(endpoint) == whole


def test_without_an_endpoint_it_is_openai_itself() -> None:
    request = PROVIDERS["openai"].request(ChatCall(body={}, output_cap=1, stream=False), target(endpoint=None))
    assert request.url == "https://api.openai.com/v1/chat/completions"


def test_the_key_goes_as_bearer_and_an_empty_one_not_at_all() -> None:
    chat = ChatCall(body={}, output_cap=1, stream=False)
    assert PROVIDERS["openai"].request(chat, target()).headers["Authorization"] == "Bearer sk-1"
    assert "Authorization" not in PROVIDERS["local"].request(chat, target(secret="")).headers


def test_fields_that_nobody_knows_pass_through_and_the_model_is_the_providers() -> None:
    body = sent({"tools": [{"type": "x"}], "novel": {"deep": [1]}})
    assert (body["model"], body["tools"], body["novel"], body["messages"]) == ("theirs", [{"type": "x"}], {"deep": [1]}, MESSAGES)


CAP_FIELDS = [("openai", "max_completion_tokens"), ("openai_compatible", "max_tokens"), ("local", "max_tokens")]


@pytest.mark.parametrize(("provider", "field"), CAP_FIELDS)
def test_the_gateways_cap_goes_where_the_provider_reads_it(provider: str, field: str) -> None:
    assert sent({}, provider)[field] == 99
    assert sent({"max_tokens": None}, provider)[field] == 99


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_clients_cap_stays_in_the_field_that_the_client_chose(field: str) -> None:
    body = sent({field: 7})
    assert {name: body.get(name) for name in ("max_tokens", "max_completion_tokens")} == {
        "max_tokens": None,
        "max_completion_tokens": None,
        field: 7,
    }


def test_defaults_fill_what_the_request_leaves_unsaid() -> None:
    body = sent({"temperature": 0, "top_p": None}, defaults={"temperature": 1.0, "top_p": 0.5})
    assert (body["temperature"], body["top_p"]) == (0, 0.5)


def test_a_stream_always_reports_its_usage() -> None:
    assert sent({"stream": True, "stream_options": {"include_usage": False, "other": 1}}, stream=True)["stream_options"] == {
        "include_usage": True,
        "other": 1,
    }
    assert sent({"stream": True, "stream_options": None}, stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent({})


def test_a_request_is_not_changed_by_being_sent() -> None:
    body: dict[str, Any] = {"stream_options": {}}
    PROVIDERS["openai"].request(ChatCall(body=body, output_cap=1, stream=True), target(defaults={"top_p": 1}))
    assert body == {"stream_options": {}}


def test_an_answer_carries_the_gateways_name_of_the_model_and_its_usage() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
    answered = PROVIDERS["openai"].answer(orjson.dumps({"model": "theirs", "choices": [], "usage": usage, "more": 1.5}), target())
    assert orjson.loads(answered.body) == {"model": "mine", "choices": [], "usage": usage, "more": 1.5}
    assert (answered.usage, answered.raw_usage) == ({"input": 4, "cached_input": 6, "output": 4}, usage)


def test_an_answer_without_usage_is_counted() -> None:
    choices = [{"message": {"role": "assistant", "content": "12345678"}}, {"message": {"tool_calls": [{"function": {"name": "abcd"}}]}}]
    answered = PROVIDERS["openai"].answer(orjson.dumps({"choices": choices}), target())
    assert (answered.usage, answered.raw_usage, answered.output_tokens_seen) == (None, None, 3)


NO_ANSWERS = [b"", b"[]", b"<html>", b"{}", b'{"choices": 1}', b'{"error": {}}', b'{"choices": ' + b"[" * 300 + b"]" * 300 + b"}"]


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the port says no more)
        PROVIDERS["openai"].answer(body, target())


@pytest.mark.parametrize(
    ("report", "used"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, {"input": 9, "output": 2}),
        ({"prompt_tokens": 9, "completion_tokens": 0}, {"input": 9}),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 1},
            },
            {"input": 2, "cached_input": 4, "input_audio": 3, "output": 7, "output_audio": 1},
        ),
        ({"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 50}}, {"cached_input": 3, "output": 1}),
        ({"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": None}, {"input": 3, "output": 1}),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None),
        ({"prompt_tokens": True, "completion_tokens": 1}, None),
        ({"prompt_tokens": 1.5, "completion_tokens": 1}, None),
        ({"prompt_tokens": 10**12, "completion_tokens": 1}, None),
        ({"prompt_tokens": 1}, None),
        ({}, None),
        ("much", None),
        (None, None),
    ],
)
def test_usage_becomes_disjoint_categories_or_counts_as_not_reported(report: Any, used: dict[str, int] | None) -> None:
    assert categories(report) == used


def test_a_report_too_large_for_an_event_is_not_kept() -> None:
    assert verbatim({"a": 1}) == {"a": 1}
    assert verbatim({"a": "x" * RAW_BYTES_MAX}) is None
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert verbatim({"a": deep}) is None


ENVELOPE = orjson.dumps({"error": {"message": "Bad 'top_k'\n  File \"x.py\"", "type": "t", "param": "top_k", "code": "unknown_parameter"}})


def test_a_bad_request_keeps_its_words_code_and_param() -> None:
    failure = PROVIDERS["openai"].failure(400, {}, ENVELOPE)
    assert (failure.status, failure.message, failure.type, failure.code, failure.param) == (
        400,
        "Bad 'top_k'",
        "invalid_request_error",
        "unknown_parameter",
        "top_k",
    )


CLASSES = {400: 400, 413: 413, 422: 400, 429: 429, 408: 504, 504: 504, 503: 503, 529: 503}
BAD_GATEWAYS = dict.fromkeys([302, 401, 403, 404, 418, 500], 502)


@pytest.mark.parametrize(("theirs", "ours"), [*CLASSES.items(), *BAD_GATEWAYS.items()])
def test_a_providers_error_keeps_its_class(theirs: int, ours: int) -> None:
    assert PROVIDERS["openai"].failure(theirs, {}, b"").status == ours


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_is_the_operators_own_business_is_not_shown(status: int) -> None:
    body = orjson.dumps({"error": {"message": "key sk-1*** of org-9 at http://there", "code": "sk-1", "param": "sk-1", "type": "sk-1"}})
    failure = PROVIDERS["openai"].failure(status, {}, body)
    shown = f"{failure.message} {failure.code} {failure.param} {failure.type}"
    assert not any(private in shown for private in ("sk-1", "org-9", "there"))


@pytest.mark.parametrize(
    ("status", "value", "shown"),
    [(429, "7", "7"), (503, "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"), (429, "1\r\nx: y", None), (429, "", None)],
)
def test_retry_after_is_passed_on_unless_it_is_none(status: int, value: str, shown: str | None) -> None:
    assert PROVIDERS["openai"].failure(status, {"retry-after": value}, b"").retry_after == shown


@pytest.mark.parametrize("body", [b"\xff", b"[]", b"null", b'{"error": 5}', b'{"error": {"message": 5, "code": []}}', b'{"detail": "x"}'])
def test_any_body_of_an_error_will_do(body: bytes) -> None:
    assert PROVIDERS["openai"].failure(400, {}, body).message == "The provider refused this request."
