"""The client sees OpenAI's chunks, and the same ones, however Bedrock's frames were cut."""

import struct
from dataclasses import replace
from typing import Any
from zlib import crc32

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from adapters.providers.bedrock_stream import FRAME_BYTES_MAX, BedrockStream
from application.ports import ProviderFailure
from tests.providers.bedrock_wire import CACHED, NOW, PARIS, REDACTED, TEXT, THINKING, USAGE, event, exception, frame, stream
from tests.providers.test_bedrock_request import TARGET
from tests.providers.test_openai_stream import cut, payloads

EVERYTHING = stream(THINKING, REDACTED, {"text": "Grüße, 世界 👋"}, PARIS, NOW, stop_reason="tool_use", usage=CACHED)
WORDS = event("messageStart", role="assistant") + event("contentBlockDelta", contentBlockIndex=0, delta={"text": "before"})


def seen(
    pieces: list[bytes], *, include_usage: bool = False, **changes: Any
) -> tuple[bytes, object, object, int, bool, bool, ProviderFailure | None]:
    """All that anyone can see of a parser that was fed these pieces."""
    reader = BedrockStream(replace(TARGET, created=1_700_000_000, **changes), "chatcmpl-1", include_usage=include_usage)
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
        ("chatcmpl-1", "chat.completion.chunk", 1_700_000_000, "mine")
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
        (0, "tooluse_01", "function", "weather"),
        (1, "tooluse_02", "function", "now"),
    ]
    for index, block in enumerate((PARIS, NOW)):
        written = "".join(call["function"]["arguments"] for call in calls if call["index"] == index)
        assert orjson.loads(written) == block["toolUse"]["input"]


def test_thoughts_come_as_they_are_thought_and_whole_to_be_sent_back() -> None:
    told = deltas(EVERYTHING)
    assert "".join(delta.get("reasoning_content", "") for delta in told) == "Let me see. Yes."
    assert [block for delta in told for block in delta.get("thinking_blocks", ())] == [
        {"index": 0, "type": "thinking", "thinking": "Let me see. Yes.", "signature": "c2lnbmVk"},
        {"index": 1, "type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
    ]


def test_usage_comes_after_the_last_word_and_is_shown_to_who_asked() -> None:
    _, usage, raw, _, begun, done, failure = seen([EVERYTHING])
    assert usage == {"input": 1_003, "cached_input": 20_001, "cache_write": 2_006, "cache_write_1h": 1_001, "output": 507}
    assert (raw, begun, done, failure) == (CACHED, True, True, None)
    assert all("usage" not in chunk for chunk in chunks(EVERYTHING))
    last = chunks(EVERYTHING, include_usage=True)[-1]
    assert (last["choices"], last["usage"]["prompt_tokens"], last["usage"]["total_tokens"]) == ([], 24_011, 24_518)


def test_a_stream_without_usage_is_whole_all_the_same_and_is_counted() -> None:
    _, usage, raw, tokens, _, done, failure = seen([stream(TEXT, usage=None)], include_usage=True)
    assert (usage, raw, tokens, done, failure) == (None, None, 6, True, None)


def test_a_stream_that_ends_before_its_last_word_is_not_whole() -> None:
    *_, begun, done, failure = seen([WORDS])
    assert (begun, done, failure) == (True, False, None)
    assert seen([EVERYTHING[:-200]])[5:] == (True, None)  # all but the usage


@given(st.lists(st.integers(min_value=0), max_size=40), st.booleans(), st.booleans())
def test_where_the_bytes_are_cut_never_shows(at: list[int], include_usage: bool, legacy: bool) -> None:
    whole = seen([EVERYTHING], include_usage=include_usage, legacy_functions=legacy)
    assert seen(cut(EVERYTHING, at), include_usage=include_usage, legacy_functions=legacy) == whole


def test_byte_by_byte() -> None:
    assert seen([EVERYTHING[at : at + 1] for at in range(len(EVERYTHING))]) == seen([EVERYTHING])


EXCEPTIONS = [
    ("throttlingException", 429, "rate_limit_exceeded"),
    ("modelStreamErrorException", 502, "provider_error"),
    ("internalServerException", 502, "provider_error"),
    ("serviceUnavailableException", 503, "provider_unavailable"),
    ("modelTimeoutException", 504, "provider_timeout"),
    ("validationException", 400, None),
    ("somethingNewException", 502, "provider_error"),
]


@pytest.mark.parametrize(("name", "status", "code"), EXCEPTIONS)
def test_an_exception_in_the_stream_is_a_failure_of_its_class(name: str, status: int, code: str | None) -> None:
    sent, *_, done, failure = seen([WORDS + exception(name, "words of arn:aws:iam::123456789012:x") + EVERYTHING])
    assert len(payloads(sent)) == 2
    assert failure is not None
    assert (done, failure.status, failure.code) == (False, status, code)
    assert "arn:" not in failure.message


def test_an_error_of_the_protocols_is_a_failure_too() -> None:
    error = frame({":message-type": "error", ":error-code": "ThrottlingException", ":error-message": "slow down"}, b"")
    failure = seen([WORDS + error])[-1]
    assert failure is not None
    assert failure.status == 429


def test_events_and_blocks_that_nobody_knows_are_passed_over() -> None:
    strange = (
        event("novelty", of="tomorrow")
        + event("contentBlockStart", contentBlockIndex=7, start={"image": {"format": "png"}})
        + event("contentBlockDelta", contentBlockIndex=7, delta={"image": {"source": {"bytes": "AAAA"}}})
        + event("contentBlockStart", contentBlockIndex=8, start={"toolUse": {"toolUseId": "t", "name": "n", "type": "server_tool_use"}})
        + event("contentBlockDelta", contentBlockIndex=8, delta={"toolUse": {"input": "{}"}})
        + event("contentBlockDelta", contentBlockIndex=9, delta={"citation": {"title": "t"}})
        + frame({":message-type": "novelty"}, b"")
    )
    assert seen([strange + EVERYTHING]) == seen([EVERYTHING])


def damaged(at: int) -> bytes:
    data = bytearray(stream(TEXT))
    data[at % len(data)] ^= 0x55
    return bytes(data)


@given(st.integers(min_value=0), st.lists(st.integers(min_value=0), max_size=10))
def test_a_damaged_stream_never_passes_for_a_whole_one(where: int, at: list[int]) -> None:
    data = damaged(where)
    assert seen(cut(data, at)) == seen([data])
    *_, done, failure = seen([data])
    assert not done
    assert failure is not None


FRAGMENTS = st.sampled_from(
    [
        event("messageStart", role="assistant"),
        event("messageStart", role=5),
        event("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"toolUseId": 5}}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"text": "a"}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": "{"}}),
        event("contentBlockDelta", contentBlockIndex="x", delta={"text": 5}),
        event("contentBlockStop", contentBlockIndex=0),
        event("messageStop", stopReason=["end_turn"]),
        event("messageStop", stopReason="end_turn"),
        event("metadata", usage=dict(USAGE)),
        event("metadata", usage="much"),
        frame({":message-type": "event", ":event-type": "metadata"}, b"nonsense"),
        frame({":message-type": "event"}, b"{}"),
        frame({":message-type": "exception"}, b"{}"),
        frame({}, b""),
        frame({":message-type": "event", ":event-type": "messageStart"}, b"[" * 2000),
    ]
)


@given(st.lists(st.one_of(FRAGMENTS, st.binary(max_size=24)), max_size=12), st.lists(st.integers(min_value=0), max_size=20))
def test_garbage_is_seen_alike_however_it_is_cut_and_raises_nothing(fragments: list[bytes], at: list[int]) -> None:
    data = b"".join(fragments)
    assert seen(cut(data, at)) == seen([data])


def test_headers_that_are_no_headers_are_a_failure() -> None:
    headers = b"\x02\xff\xfe\x07\x00\x01x"
    prelude = struct.pack("!II", 16 + len(headers), len(headers))
    whole = prelude + struct.pack("!I", crc32(prelude)) + headers
    assert seen([whole + struct.pack("!I", crc32(whole))])[-1] is not None


def of_length(length: int) -> bytes:
    whole = event("contentBlockDelta", contentBlockIndex=0, delta={"text": ""})
    return event("contentBlockDelta", contentBlockIndex=0, delta={"text": "x" * (length - len(whole))})


def test_a_frame_up_to_the_limit_passes_and_a_longer_one_breaks_the_stream() -> None:
    fits, too_long = of_length(FRAME_BYTES_MAX), of_length(FRAME_BYTES_MAX + 1)
    assert (len(fits), len(too_long)) == (FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1)
    for size in (len(too_long), 65_536):
        edges = list(range(0, len(too_long), size))
        assert seen(cut(WORDS + fits, edges))[-1] is None
        sent, *_, failure = seen(cut(WORDS + too_long, edges))
        assert failure is not None
        assert len(payloads(sent)) == 2
