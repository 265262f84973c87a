"""The stream parser sees the same, and shows the client the same, however the bytes were cut."""

import string
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.openai_stream import OpenAIStream
from adapters.providers.server_sent_events import EVENT_BYTES_MAX
from application.ports import ProviderFailure
from tests.scripted_provider import Script, chunk, streamed

ASKED = {"stream_options": {"include_usage": True}}
WHOLE = streamed(Script(text='Grüße, 世界 👋 from \\ "upstream-model-2026" there'), ASKED)


def seen(pieces: list[bytes], *, include_usage: bool = False) -> tuple[bytes, object, object, int, bool, bool, ProviderFailure | None]:
    """All that anyone can see of a parser that was fed these pieces."""
    parser = OpenAIStream("shown", include_usage=include_usage)
    sent = b"".join(parser.feed(piece) for piece in pieces) + parser.end()
    return sent, parser.usage, parser.raw_usage, parser.output_tokens_seen, parser.content_begun, parser.done, parser.failure


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(position % (len(data) + 1) for position in at), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


def payloads(sent: bytes) -> list[dict[str, object]]:
    return [orjson.loads(event.removeprefix(b"data: ")) for event in sent.split(b"\n\n") if event]


def event(*lines: str) -> bytes:
    return "\n".join(lines).encode() + b"\n\n"


def of_text(text: str, **delta: object) -> bytes:
    return b"data: " + orjson.dumps(chunk([{"index": 0, "delta": {"content": text, **delta}, "finish_reason": None}])) + b"\n\n"


def test_a_stream_is_forwarded_under_the_gateways_name_of_the_model_without_the_last_word() -> None:
    sent, usage, raw, _, begun, done, failure = seen([WHOLE])
    chunks = payloads(sent)
    assert {each["model"] for each in chunks} == {"shown"}
    text = "".join(choice["delta"].get("content") or "" for each in chunks for choice in each["choices"])  # type: ignore[attr-defined]
    assert text == 'Grüße, 世界 👋 from \\ "upstream-model-2026" there'
    assert b"[DONE]" not in sent
    assert (begun, done, failure) == (True, True, None)
    assert usage == {"input": 10, "output": 5}
    assert raw == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def test_the_usage_chunk_reaches_only_the_client_who_asked_for_it() -> None:
    assert b'"usage":{' not in seen([WHOLE])[0]
    last = payloads(seen([WHOLE], include_usage=True)[0])[-1]
    assert (last["choices"], last["usage"]) == ([], {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})


@given(st.lists(st.integers(min_value=0), max_size=40), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_where_the_bytes_are_cut_never_shows(at: list[int], line_end: bytes, include_usage: bool) -> None:
    data = b"\xef\xbb\xbf: a comment\n\nevent: x\n" + WHOLE
    data = data.replace(b"\n", line_end)
    assert seen(cut(data, at), include_usage=include_usage) == seen([WHOLE], include_usage=include_usage)


FRAGMENTS = st.sampled_from(
    [
        *(b"data: ", b"data:", b"\n", b"\r", b"\n\n", b"\r\n", b": c\n", b"event: e\n", b"\xef\xbb\xbf", b"\xff"),
        *(b"{", b"}", b"5", b"null", b"[DONE]", b'{"choices":[]}', b'{"error":"x"}'),
        b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}',
        b'{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}',
    ]
)


@given(st.lists(st.one_of(FRAGMENTS, st.binary(max_size=8)), max_size=30), st.lists(st.integers(min_value=0), max_size=20))
def test_garbage_is_seen_alike_however_it_is_cut_and_raises_nothing(fragments: list[bytes], at: list[int]) -> None:
    data = b"".join(fragments)
    assert seen(cut(data, at)) == seen([data])


NAMES = st.sampled_from(["choices", "delta", "content", "usage", "model", "index"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(string.printable, max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["choices", "usage", "model", "id", "x"]), JSON))
def test_whatever_a_chunk_holds_only_its_model_is_changed(value: dict[str, object]) -> None:
    sent, *_, failure = seen([b"data: " + orjson.dumps(value) + b"\n\n"], include_usage=True)
    assert failure is None
    assert payloads(sent) == [{**value, "model": "shown"}]


def test_an_event_of_several_data_lines_is_one_chunk() -> None:
    sent = seen([event('data: {"choices":', 'data: [{"delta": {"content":', 'data:  "a"}}]}')])[0]
    assert payloads(sent) == [{"choices": [{"delta": {"content": "a"}}], "model": "shown"}]
    assert sent.count(b"\n") == 2


def test_an_event_up_to_the_limit_passes_and_a_longer_one_breaks_the_stream() -> None:
    frame = len(of_text("")) - 2
    fits, too_long = of_text("x" * (EVENT_BYTES_MAX - frame)), of_text("x" * (EVENT_BYTES_MAX - frame + 1))
    for size in (len(fits), 65_536):
        assert seen(cut(fits, list(range(0, len(fits), size))))[-1] is None
        broken = seen(cut(of_text("first") + too_long, list(range(0, len(too_long), size))))
        assert broken[-1] is not None
        assert len(payloads(broken[0])) == 1


DEEP = b'{"choices": ' + b"[" * 300 + b"]" * 300 + b"}"


@pytest.mark.parametrize("payload", [b"nonsense", b"[1]", b'"text"', b"\xff\xfe", DEEP, b"[" * 2000])
def test_what_cannot_be_read_is_a_failure_and_nothing_after_it_is_forwarded(payload: bytes) -> None:
    sent, *_, done, failure = seen([of_text("before"), b"data: " + payload + b"\n\n" + WHOLE])
    assert len(payloads(sent)) == 1
    assert not done
    assert failure is not None
    assert failure.status == 502


def test_an_error_in_the_stream_is_a_failure_that_says_nothing_of_the_providers_own_business() -> None:
    error = {"error": {"message": "overloaded: host 10.0.0.7", "type": "server_error", "code": 529}}
    *_, failure = seen([of_text("some"), b"data: " + orjson.dumps(error) + b"\n\n"])
    assert failure is not None
    assert failure.status == 503
    assert "10.0.0.7" not in failure.message


def test_a_stream_without_its_last_word_is_whole_once_a_choice_has_finished() -> None:
    *_, done, _ = seen([WHOLE.removesuffix(b"data: [DONE]\n\n")])
    assert done
    *_, done, failure = seen([of_text("half")])
    assert (done, failure) == (False, None)


def test_the_last_word_counts_without_the_blank_line_after_it() -> None:
    assert seen([WHOLE.removesuffix(b"\n\n")]) == seen([WHOLE])


def test_nothing_that_follows_the_last_word_matters() -> None:
    assert seen([WHOLE + b"data: nonsense\n\n" + of_text("more")]) == seen([WHOLE])


def test_content_has_not_begun_with_the_role() -> None:
    parser = OpenAIStream("shown", include_usage=False)
    assert parser.feed(b"data: " + orjson.dumps(chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}}])) + b"\n\n")
    assert (parser.content_begun, parser.output_tokens_seen) == (False, 0)
    parser.feed(of_text("Hi"))
    assert (parser.content_begun, parser.output_tokens_seen) == (True, 1)


@pytest.mark.parametrize(
    ("delta", "tokens"),
    [
        ({"content": "12345"}, 2),
        ({"content": "世界"}, 2),
        ({"reasoning_content": "thinking"}, 2),
        ({"refusal": "no"}, 1),
        (
            {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}}]},
            3,
        ),
        ({"content": None}, 0),
    ],
)
def test_output_is_counted_in_every_form_that_it_takes(delta: dict[str, object], tokens: int) -> None:
    data = b"data: " + orjson.dumps(chunk([{"index": 0, "delta": delta}])) + b"\n\n"
    assert seen([data])[3] == tokens


def test_usage_reported_in_every_chunk_counts_once_as_it_was_last() -> None:
    chunks = [chunk([{"index": 0, "delta": {"content": "a"}}], usage={"prompt_tokens": 7, "completion_tokens": n}) for n in (1, 2, 3)]
    sent, usage, *_ = seen([b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks])
    assert usage == {"input": 7, "output": 3}
    assert len(payloads(sent)) == 3
