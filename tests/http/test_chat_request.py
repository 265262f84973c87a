"""What a chat completion request may be."""

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from entrypoints.http.chat_request import DEPTH_MAX, parse

MESSAGES = [{"role": "user", "content": "hello"}]
VALID: dict[str, Any] = {"model": "mine", "messages": MESSAGES}


def refused(**changes: Any) -> Invalid:
    with pytest.raises(Invalid) as refusal:
        parse(orjson.dumps({**VALID, **changes}))
    return refusal.value


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_the_least_request_is_one_plain_choice_without_a_cap() -> None:
    chat = parse(orjson.dumps(VALID))
    assert (chat.model_id, chat.body) == ("mine", VALID)
    assert (chat.output_cap, chat.choices, chat.stream, chat.include_usage) == (None, 1, False, False)


def test_what_the_ledger_needs_is_read_and_the_rest_is_kept() -> None:
    body = {**VALID, "n": 3, "max_tokens": 7, "stream": True, "stream_options": {"include_usage": True}, "tools": [{"a": 1}], "novel": [1]}
    chat = parse(orjson.dumps(body))
    assert (chat.output_cap, chat.choices, chat.stream, chat.include_usage, chat.body) == (7, 3, True, True, body)


def test_null_means_unsaid() -> None:
    names = ("temperature", "top_p", "n", "max_tokens", "max_completion_tokens", "stream", "stream_options", "stop", "tools", "user")
    chat = parse(orjson.dumps({**VALID, **dict.fromkeys(names)}))
    assert (chat.output_cap, chat.choices, chat.stream, chat.include_usage) == (None, 1, False, False)


NO_JSON = [b"", b"{", b"nonsense", b'{"a": "\xff"}', b'{"a": NaN}', b'{"a": "\\ud800"}', b"[" * 100_000, b'{"a":' * 100_000]


@pytest.mark.parametrize("raw", NO_JSON)
def test_what_is_no_json_says_so(raw: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(raw)
    assert refusal.value.code == "json_parse_error"


@pytest.mark.parametrize("raw", [b"[]", b"5", b'"text"', b"null"])
def test_a_request_is_an_object(raw: bytes) -> None:
    with pytest.raises(Invalid):
        parse(raw)


def test_nesting_has_a_limit_below_what_can_be_written_again() -> None:
    parse(orjson.dumps({**VALID, "metadata": {"deep": nested(DEPTH_MAX - 3)}}))
    refused(metadata={"deep": nested(DEPTH_MAX - 1)})
    many_but_flat = {**VALID, "tools": [{"a": {}}] * 1000}
    assert parse(orjson.dumps(many_but_flat)).body == many_but_flat


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("temperature", [0, 1, 0.7, 2, 2.0], [-0.1, 2.1, "1", True, []]),
        ("top_p", [0, 0.5, 1], [-0.1, 1.1, "x"]),
        ("presence_penalty", [-2, 0, 2], [-2.1, 2.1, {}]),
        ("frequency_penalty", [-2, 0.0, 2], [-3, 3]),
        ("n", [1, 128], [0, -1, 129, 1.0, True, "2"]),
        ("max_tokens", [1, 100_000], [0, -1, 1.5, "5", False, 10**18]),
        ("max_completion_tokens", [1], [0]),
        ("seed", [-1, 0, 2**63 - 1], [1.5, "x", 2**63]),
        ("stop", ["x", ["x", "y"], []], [5, [5], {}]),
        ("stream", [True, False], ["true", 1]),
        ("stream_options", [{}, {"include_usage": True}, {"include_usage": None}], [[], True]),
        ("user", ["me"], [5]),
        ("tools", [[], [{"type": "function"}]], [{}, ["x"]]),
        ("tool_choice", ["auto", {"type": "function"}], [5, []]),
        ("response_format", [{"type": "json_object"}], ["json"]),
        ("logit_bias", [{"1": 5}], [[1]]),
    ],
)
def test_each_known_field_has_its_rule(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert parse(orjson.dumps({**VALID, field: value})).body[field] == value
    for value in bad:
        refusal = refused(**{field: value})
        assert refusal.param == field
        assert field in refusal.message


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [*MESSAGES, {"role": "robot", "content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": {}}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages[0].content[0].image_url"),
        ({"messages": [{"role": "user", "content": "x", "name": 5}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
    ],
)
def test_a_refusal_names_the_place(changes: dict[str, Any], param: str) -> None:
    assert refused(**changes).param == param


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "x"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "assistant"},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "user", "content": [{"type": "novel", "novel": 5}], "unknown": {}},
    ],
)
def test_every_kind_of_message_passes(message: dict[str, Any]) -> None:
    assert parse(orjson.dumps({**VALID, "messages": [message]})).body["messages"] == [message]


TEXT = st.sampled_from(["", "user", "text", "image_url", "世界"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([-1e300, 0.5, 2**63]) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("model", "messages", "n", "stop", "stream_options", "tools"), ANYTHING)))
def test_whatever_is_sent_is_taken_or_refused(body: dict[str, Any]) -> None:
    with suppress(Invalid):
        parse(orjson.dumps(body))
