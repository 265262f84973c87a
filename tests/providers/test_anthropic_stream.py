"""The client sees OpenAI's chunks, and the same ones, however Anthropic's bytes were cut."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from adapters.providers.anthropic_stream import OPEN_BLOCKS_MAX, THINKING_CHARACTERS_MAX, AnthropicStream
from application.ports import ProviderFailure
from tests.providers.anthropic_asking import target
from tests.providers.anthropic_wire import CACHED, NOW, PARIS, REDACTED, TEXT, THINKING, error, framed, stream
from tests.providers.test_openai_stream import cut, payloads

EVERYTHING = stream(
    THINKING,
    REDACTED,
    {"type": "text", "text": "Grüße, 世界 👋"},
    PARIS,
    NOW,
    stop_reason="tool_use",
    usage=CACHED,
)


def parser(*, include_usage: bool = False, **changes: Any) -> AnthropicStream:
    return AnthropicStream(target(created=1_700_000_000, **changes), include_usage=include_usage)


def seen(pieces: list[bytes], **changes: Any) -> tuple[bytes, object, object, int, bool, bool, ProviderFailure | None]:
    """All that anyone can see of a parser that was fed these pieces."""
    reader = parser(**changes)
    sent = b"".join(reader.feed(piece) for piece in pieces) + reader.end()
    return sent, reader.usage, reader.raw_usage, reader.output_tokens_seen, reader.content_begun, reader.done, reader.failure


def chunks(data: bytes, **changes: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = payloads(seen([data], **changes)[0])
    for chunk in sent:
        ChatCompletionChunk.model_validate(chunk)
    return sent


def deltas(data: bytes, **changes: Any) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks(data, **changes) for choice in chunk["choices"]]


def test_a_text_comes_as_it_is_said() -> None:
    sent = chunks(stream(TEXT))
    assert {(each["id"], each["object"], each["created"], each["model"]) for each in sent} == {
        ("msg_01", "chat.completion.chunk", 1_700_000_000, "mine")
    }
    assert [choice["delta"] for each in sent for choice in each["choices"]] == [
        {"role": "assistant", "content": ""},
        {"content": "Hello t"},
        {"content": "here, f"},
        {"content": "riend"},
        {},
    ]
    assert [choice["finish_reason"] for each in sent for choice in each["choices"]] == [None, None, None, None, "stop"]


def test_calls_come_under_indexes_of_their_own() -> None:
    calls = [call for delta in deltas(EVERYTHING) for call in delta.get("tool_calls", ())]
    begun = [call for call in calls if "id" in call]
    assert [(call["index"], call["id"], call["type"], call["function"]["name"]) for call in begun] == [
        (0, "toolu_01", "function", "weather"),
        (1, "toolu_02", "function", "now"),
    ]
    for index, block in enumerate((PARIS, NOW)):
        written = "".join(call["function"]["arguments"] for call in calls if call["index"] == index)
        assert orjson.loads(written) == block["input"]


def test_who_speaks_of_functions_is_answered_so() -> None:
    data = stream(PARIS, stop_reason="tool_use")
    calls = [delta["function_call"] for delta in deltas(data, legacy_functions=True) if delta.get("function_call")]
    assert calls[0] == {"name": "weather", "arguments": ""}
    assert orjson.loads("".join(call["arguments"] for call in calls)) == PARIS["input"]
    assert chunks(data, legacy_functions=True)[-1]["choices"][0]["finish_reason"] == "function_call"


def test_thoughts_come_as_reasoning_and_whole_with_their_signatures() -> None:
    said = deltas(EVERYTHING)
    assert "".join(delta.get("reasoning_content", "") for delta in said) == THINKING["thinking"]
    assert [block for delta in said for block in delta.get("thinking_blocks", ())] == [{"index": 0, **THINKING}, {"index": 1, **REDACTED}]


def test_a_thought_too_long_to_be_kept_is_shown_but_can_not_come_back() -> None:
    long = {"type": "thinking", "thinking": "x" * (THINKING_CHARACTERS_MAX + 1), "signature": "s"}
    data = stream({**long, "thinking": "x"}).replace(
        b'"thinking_delta","thinking":"x"', b'"thinking_delta","thinking":"%b"' % long["thinking"].encode()
    )
    said = deltas(data)
    assert sum(len(delta.get("reasoning_content", "")) for delta in said) == THINKING_CHARACTERS_MAX + 1
    assert not any("thinking_blocks" in delta for delta in said)


def test_a_refusal_says_why() -> None:
    data = stream(stop_reason="refusal", stop_details={"type": "refusal", "category": None, "explanation": "Not this."})
    assert {"refusal": "Not this."} in deltas(data)
    assert chunks(data)[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_usage_is_told_at_the_end_to_who_asks_and_kept_in_any_case() -> None:
    sent = chunks(EVERYTHING, include_usage=True)
    assert (sent[-1]["choices"], sent[-1]["service_tier"]) == ([], "default")
    assert sent[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 20_001, "cache_write_tokens": 3_007}
    assert (sent[-1]["usage"]["prompt_tokens"], sent[-1]["usage"]["completion_tokens"]) == (24_011, 507)
    assert not any("usage" in each for each in chunks(EVERYTHING))
    _, usage, raw, *_, done, failure = seen([EVERYTHING])
    assert usage == {"input": 1_003, "cached_input": 20_001, "cache_write": 2_006, "cache_write_1h": 1_001, "output": 507}
    assert raw == CACHED
    assert (done, failure) == (True, None)


def test_the_last_report_counts_and_what_it_leaves_unsaid_stays() -> None:
    more = {"input_tokens": 2_000, "cache_read_input_tokens": None, "output_tokens": 9}
    data = EVERYTHING.replace(b'"usage":{"output_tokens":507}', b'"usage":' + orjson.dumps(more))
    _, usage, raw, *_ = seen([data])
    assert usage == {"input": 2_000, "cached_input": 20_001, "cache_write": 2_006, "cache_write_1h": 1_001, "output": 9}
    assert isinstance(raw, dict)
    assert raw["cache_read_input_tokens"] == 20_001


def test_before_the_last_report_the_answer_is_as_long_as_what_was_seen_of_it() -> None:
    reader = parser()
    reader.feed(EVERYTHING[: EVERYTHING.index(b"event: message_delta")])
    assert not reader.done
    assert reader.usage is not None
    assert reader.usage["output"] == reader.output_tokens_seen > 20
    assert reader.usage["cached_input"] == 20_001


@given(st.lists(st.integers(min_value=0), max_size=40), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_where_the_bytes_are_cut_never_shows(at: list[int], line_end: bytes, include_usage: bool) -> None:
    data = (b"\xef\xbb\xbf: a comment\n\n" + EVERYTHING).replace(b"\n", line_end)
    assert seen(cut(data, at), include_usage=include_usage) == seen([EVERYTHING], include_usage=include_usage)


@given(st.integers(0, len(EVERYTHING)))
def test_a_stream_that_breaks_off_is_not_whole_before_it_has_finished(length: int) -> None:
    *_, done, failure = seen([EVERYTHING[:length]])
    if length < EVERYTHING.index(b"event: message_stop") - 2:
        assert not done
    assert done or failure is None or length < len(EVERYTHING)


def test_a_stream_without_its_last_word_is_whole_once_it_has_finished() -> None:
    whole = seen([EVERYTHING], include_usage=True)
    assert seen([EVERYTHING[: EVERYTHING.index(b"event: message_stop")]], include_usage=True) == whole


KINDS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
    "ping",
]
INNER = ["text", "tool_use", "thinking", "redacted_thinking", "text_delta", "input_json_delta", "thinking_delta", "signature_delta", "x"]
NAMES = st.sampled_from(
    [
        "message",
        "content_block",
        "delta",
        "usage",
        "error",
        "text",
        "partial_json",
        "thinking",
        "signature",
        "id",
        "name",
        "input",
        "stop_reason",
    ]
)
SIMPLE = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(INNER)
OBJECT = st.dictionaries(NAMES, SIMPLE | st.dictionaries(NAMES, SIMPLE, max_size=3), max_size=4)
EVENTS = st.builds(
    lambda kind, index, inner, fields: {
        "type": kind,
        "index": index,
        **{name: {"type": inner, **fields} for name in ("message", "content_block", "delta", "error")},
        "usage": fields,
    },
    st.sampled_from(KINDS),
    st.integers(0, 2),
    st.sampled_from(INNER),
    OBJECT,
)
FRAMED = st.one_of(EVENTS, OBJECT).map(lambda event: b"data: " + orjson.dumps(event) + b"\n\n")
FRAGMENTS = st.sampled_from([b"data: ", b"\n", b"\r\n", b"\n\n", b": c\n", b"\xff", b"{", b"5", b"null", b"[1]"])


@given(st.lists(st.one_of(FRAMED, FRAGMENTS, st.binary(max_size=8)), max_size=20), st.lists(st.integers(min_value=0), max_size=20))
def test_garbage_is_seen_alike_however_it_is_cut_and_raises_nothing(fragments: list[bytes], at: list[int]) -> None:
    data = b"".join(fragments)
    assert seen(cut(data, at), include_usage=True) == seen([data], include_usage=True)


@pytest.mark.parametrize("payload", [b"nonsense", b"[1]", b'"text"', b"{}", b"\xff\xfe", b"[" * 2000])
def test_what_cannot_be_read_is_a_failure_and_nothing_after_it_is_forwarded(payload: bytes) -> None:
    half = EVERYTHING[: EVERYTHING.index(b"event: message_delta")]
    sent, *_, done, failure = seen([half, b"data: " + payload + b"\n\n", EVERYTHING])
    assert sent == seen([half])[0]
    assert not done
    assert failure is not None
    assert failure.status == 502


def test_events_and_blocks_that_are_new_to_us_do_no_harm() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    data = framed({"type": "novel", "x": 1}) + stream(search, TEXT)
    assert "".join(delta.get("content", "") for delta in deltas(data)) == "Hello there, friend"


def test_blocks_without_end_are_not_kept() -> None:
    opened = [framed({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}) for index in range(99)]
    assert seen(opened[:OPEN_BLOCKS_MAX])[-1] is None
    assert seen(opened[: OPEN_BLOCKS_MAX + 1])[-1] is not None


ERRORS = {
    "overloaded_error": 503,
    "rate_limit_error": 429,
    "api_error": 502,
    "timeout_error": 504,
    "authentication_error": 502,
    "novel": 502,
}


@pytest.mark.parametrize(("kind", "status"), ERRORS.items())
def test_an_error_in_the_stream_is_a_failure_of_its_class(kind: str, status: int) -> None:
    half = EVERYTHING[: EVERYTHING.index(b"event: message_delta")]
    *_, begun, done, failure = seen([half + b"event: error\ndata: " + error(kind, "host 10.0.0.7") + b"\n\n" + EVERYTHING])
    assert (begun, done) == (True, False)
    assert failure is not None
    assert failure.status == status
    assert "10.0.0.7" not in failure.message


def test_content_has_not_begun_before_there_is_any() -> None:
    reader = parser()
    assert reader.feed(EVERYTHING[: EVERYTHING.index(b"event: content_block_delta")])
    assert not reader.content_begun
    reader.feed(EVERYTHING[EVERYTHING.index(b"event: content_block_delta") :])
    assert reader.content_begun
