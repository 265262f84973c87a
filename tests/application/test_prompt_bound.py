"""The prompt bound is never less than what any tokenizer makes of the request: it counts bytes, and a token has at least one."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.prompt_bound import MESSAGE_TOKENS, PART_TOKENS, REQUEST_TOKENS, TOOLS_TOKENS, prompt_tokens_bound
from domain.errors import Invalid

ONE_MESSAGE = REQUEST_TOKENS + MESSAGE_TOKENS + len("user")


def chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def test_text_counts_by_its_bytes() -> None:
    assert prompt_tokens_bound(chat("hello")) == (ONE_MESSAGE + 5, 0)
    assert prompt_tokens_bound(chat("é€😀")) == (ONE_MESSAGE + 2 + 3 + 4, 0)
    assert prompt_tokens_bound(chat("\ud800")) == (ONE_MESSAGE + 3, 0)


def test_everything_in_a_message_counts() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    plain = prompt_tokens_bound(chat("x"))[0]
    for more in ({"name": "Ada"}, {"tool_call_id": "call_1"}, {"tool_calls": [call]}, {"refusal": "no"}, {"anything": {"at": "all"}}):
        body = {"messages": [{"role": "user", "content": "x", **more}]}
        assert prompt_tokens_bound(body)[0] >= plain + len(str(*more.values()))


def test_an_image_counts_as_one_and_its_data_not_as_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000, "detail": "high"}}
    tokens, images = prompt_tokens_bound(chat([{"type": "text", "text": "what is this"}, image, image]))
    assert images == 2
    assert tokens == ONE_MESSAGE + 3 * PART_TOKENS + len("textwhat is this") + 2 * len("image_url")


def test_what_only_pretends_to_be_an_image_counts_by_its_bytes() -> None:
    tokens, images = prompt_tokens_bound(chat([{"type": "text", "text": "x" * 50, "image_url": {"url": "y" * 500}}]))
    assert images == 0
    assert tokens > 550
    assert prompt_tokens_bound(chat([{"type": "image_url", "image_url": {"url": "u"}, "text": "x" * 500}]))[0] > 500


def test_files_and_audio_count_by_their_bytes() -> None:
    parts = [{"type": "file", "file": {"file_data": "A" * 1_000}}, {"type": "input_audio", "input_audio": {"data": "B" * 1_000}}]
    assert prompt_tokens_bound(chat(parts))[0] > 2_000


def test_tools_count_with_what_providers_say_about_tools() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    without = prompt_tokens_bound(chat("x"))[0]
    assert prompt_tokens_bound(chat("x", tools=tools))[0] > without + TOOLS_TOKENS + len(str(tools))
    assert prompt_tokens_bound(chat("x", tools=[]))[0] < without + TOOLS_TOKENS


def test_schemas_and_fields_that_nobody_knows_count_too() -> None:
    for name in ("response_format", "prediction", "documents", "anything"):
        assert prompt_tokens_bound(chat("x", **{name: {"text": "y" * 500}}))[0] > 500


def test_fields_that_no_model_reads_do_not_count() -> None:
    ignored = {"user": "u" * 99, "metadata": {"a": "b" * 99}, "temperature": 0.5, "stream": True, "stream_options": {"include_usage": True}}
    assert prompt_tokens_bound(chat("x", **ignored)) == prompt_tokens_bound(chat("x"))


def test_odd_shapes_are_counted_not_refused() -> None:
    for messages in ("text" * 100, [1, None, "text" * 100], {"a": "text" * 100}, [{"role": "user", "content": ["text" * 100, 7]}]):
        assert prompt_tokens_bound({"messages": messages})[0] >= 400 or messages == [1]


def test_what_is_nested_too_deeply_to_be_written_is_invalid() -> None:
    bomb: Any = []
    for _ in range(1_000):
        bomb = [bomb]
    with pytest.raises(Invalid):
        prompt_tokens_bound(chat("x", tools=bomb))


TEXT = st.text(max_size=9)
JSON = st.recursive(st.none() | st.integers(-9, 9) | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"role": TEXT, "content": JSON}, optional={"name": TEXT, "tool_calls": JSON}), max_size=3), JSON)
def test_no_text_escapes_the_count(messages: list[Any], tools: Any) -> None:
    body = {"messages": messages, "tools": tools}
    assert prompt_tokens_bound(body)[0] >= sum(len(text.encode(errors="surrogatepass")) for text in texts(body))


def texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for item in value for text in texts(item)]
        case dict():
            return [text for name, item in value.items() if name not in {"image_url"} for text in texts(item)]
    return []


def test_counting_is_linear() -> None:
    def seconds(megabytes: int) -> float:
        body = chat("é" * (megabytes * 512 * 1024))
        began = time.thread_time()
        prompt_tokens_bound(body)
        return time.thread_time() - began

    assert min(seconds(32) for _ in range(3)) < 1
