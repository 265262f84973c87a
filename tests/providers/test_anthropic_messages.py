"""A conversation of an OpenAI client's, as Anthropic is told it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from tests.providers.anthropic_asking import HELLO, MARK, TURN, refused, requested, sent, text, turns, user


def test_system_and_developer_messages_become_the_system_prompt_wherever_they_stand() -> None:
    body = sent(
        {
            "messages": [
                {"role": "system", "content": "One."},
                *HELLO,
                {"role": "developer", "content": [text("Two.", cache_control=MARK), text("")]},
            ]
        }
    )
    assert body["system"] == [text("One."), text("Two.", cache_control=MARK)]
    assert body["messages"] == [TURN]


def test_turns_of_one_side_become_one_and_empty_texts_are_left_out() -> None:
    said = turns(user(text("a"), text("")), {"role": "user", "content": "b"}, {"role": "assistant", "content": " \n"}, user(text("c")))
    assert said == [user(text("a"), text("b"), text("c"))]


def test_the_cache_is_marked_on_parts_and_on_whole_messages() -> None:
    said = turns(user(text("a", cache_control=MARK), text("b")), {"role": "assistant", "content": "c", "cache_control": MARK})
    assert said[0]["content"] == [text("a", cache_control=MARK), text("b")]
    assert said[1]["content"] == [text("c", cache_control=MARK)]
    assert sent({"cache_control": MARK})["cache_control"] == MARK


IMAGES = {
    "data:image/png;base64,aGk=": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    "data:image/jpg;base64,aGk=": {"type": "base64", "media_type": "image/jpeg", "data": "aGk="},
    "DATA:IMAGE/WEBP;x=y;BASE64,aGk=": {"type": "base64", "media_type": "image/webp", "data": "aGk="},
    "https://x.example/a.png": {"type": "url", "url": "https://x.example/a.png"},
}


@pytest.mark.parametrize(("url", "source"), IMAGES.items())
def test_images_are_given_by_address_or_by_content(url: str, source: dict[str, str]) -> None:
    (said,) = turns(user(text("What is it?"), {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}))
    assert said["content"][1] == {"type": "image", "source": source}


def test_how_closely_to_look_is_not_said_to_anthropic_and_the_client_is_told() -> None:
    body = {"messages": [user({"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}})]}
    assert requested(body).dropped == ("messages.content.image_url.detail",)


FILES = [
    (
        {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"},
    ),
    ({"file_data": "JVBERi0="}, {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}),
    (
        {"filename": "a.txt", "file_data": "data:text/plain;base64,R3LDvMOfZQ=="},
        {"source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}, "title": "a.txt"},
    ),
]


@pytest.mark.parametrize(("file", "document"), FILES)
def test_files_become_documents(file: dict[str, str], document: dict[str, Any]) -> None:
    (said,) = turns(user({"type": "file", "file": file, "cache_control": MARK}))
    assert said["content"] == [{"type": "document", **document, "cache_control": MARK}]


PARTS_REFUSED = [
    ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,aGk="}}, "image_url.url"),
    ({"type": "image_url", "image_url": {"url": "data:image/png,plain"}}, "image_url.url"),
    ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "image_url.url"),
    ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id"),
    ({"type": "file", "file": {"file_data": "https://x.example/endless.pdf"}}, "file.file_data"),
    ({"type": "file", "file": {"file_data": "data:text/plain;base64,//8="}}, "file.file_data"),
    ({"type": "file", "file": {"file_data": "data:application/zip;base64,aGk="}}, "file.file_data"),
    ({"type": "file", "file": {}}, "file.file_data"),
    ({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}, ""),
    ({"type": "novel"}, ""),
]


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(("part", "place"), PARTS_REFUSED)
def test_parts_that_anthropic_cannot_read_are_refused_by_their_place_and_never_dropped(
    part: dict[str, Any], place: str, drop: bool
) -> None:
    wrong = refused({"messages": [user(text("a"), part)]}, drop_unsupported=drop)
    assert wrong.param == "messages[0].content[1]" + (f".{place}" if place else "")


def test_a_system_prompt_is_text_alone() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x"}}
    assert refused({"messages": [{"role": "system", "content": [image]}, *HELLO]}).param == "messages[0].content[0]"


def test_a_system_prompt_alone_is_refused() -> None:
    assert refused({"messages": [{"role": "system", "content": "Be."}]}).param == "messages"


def called(number: int, name: str, arguments: str, call_id: str | None = None) -> dict[str, Any]:
    return {"id": call_id or f"toolu_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_parallel_calls_and_their_results_keep_their_ids_and_the_results_become_one_turn() -> None:
    said = turns(
        *HELLO,
        {"role": "assistant", "content": "Let me look.", "tool_calls": [called(1, "weather", '{"city": "Paris"}'), called(2, "now", "")]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "Sunny"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": [text("Noon"), text("sharp")]},
        {"role": "user", "content": "And?"},
    )
    assert said[1]["content"] == [
        text("Let me look."),
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
    ]
    assert said[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("Sunny")]},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": [text("Noon"), text("sharp")]},
        text("And?"),
    ]


def test_another_providers_ids_are_made_to_fit_on_both_sides() -> None:
    call = called(1, "f", "{}", "functions.get:0")
    said = turns(*HELLO, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "functions.get:0", "content": ""})
    assert said[1]["content"][0]["id"] == "functions_get_0"
    assert said[2]["content"] == [{"type": "tool_result", "tool_use_id": "functions_get_0"}]


@pytest.mark.parametrize("arguments", ["{", "[1]", '"a"', "null"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    body = {"messages": [*HELLO, {"role": "assistant", "tool_calls": [called(1, "f", arguments)]}]}
    assert refused(body).param == "messages[1].tool_calls[0].function.arguments"


def test_legacy_function_calls_and_results_find_each_other() -> None:
    said = turns(
        *HELLO,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}},
        {"role": "function", "name": "f", "content": "2"},
    )
    assert said[1]["content"] == [{"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}}]
    assert said[2]["content"] == [{"type": "tool_result", "tool_use_id": "call_1", "content": [text("2")]}]


def test_names_of_speakers_are_refused_where_they_stand() -> None:
    assert refused({"messages": [*HELLO, {"role": "user", "name": "Ann", "content": "hi"}]}).param == "messages[1].name"


THOUGHTS = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "ZQ=="}]


def test_thoughts_come_back_with_their_signatures_before_the_answer() -> None:
    shown = [{"index": index, **thought} for index, thought in enumerate(THOUGHTS)]
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.", "thinking_blocks": shown}
    assert turns(*HELLO, message)[1]["content"] == [*THOUGHTS, text("Yes.")]


def test_reasoning_without_a_signature_cannot_come_back_and_the_client_is_told() -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}]
    assert requested({"messages": messages}).dropped == ("messages.reasoning_content",)
    wrong = refused({"messages": [*HELLO, {"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking"}]}]})
    assert wrong.param == "messages[1].thinking_blocks[0]"


FIELDS = [
    *("content", "name", "tool_calls", "tool_call_id", "function", "arguments", "function_call", "thinking_blocks", "cache_control"),
    *("type", "text", "image_url", "url", "file", "file_data", "id", "signature", "parameters", "strict", "refusal"),
]
WORDS = st.sampled_from(["text", "image_url", "file", "function", "thinking", "data:image/png;base64,", "auto", "", "{}"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
MESSAGES = st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5), max_size=4)
NAMES = st.sampled_from(
    ["tools", "tool_choice", "functions", "function_call", "response_format", "reasoning_effort", "metadata", "stop", "service_tier", "x"]
)


@given(st.lists(ROLES, max_size=4), MESSAGES, st.dictionaries(NAMES, JSON, max_size=4), st.booleans())
def test_whatever_the_gateway_lets_through_is_translated_or_refused(
    roles: list[str], messages: list[dict[str, Any]], rest: dict[str, Any], drop: bool
) -> None:
    said = [{"content": "a", **message, "role": role} for role, message in zip(roles, messages, strict=False)]
    try:
        requested({"messages": [*HELLO, *said], **rest}, drop_unsupported=drop)
    except Invalid:
        return
