"""A chat completion request becomes one of Converse's, which botocore would send just so."""

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from adapters.providers.bedrock import Bedrock, address
from application.ports import ChatCall, Target
from domain.errors import Invalid
from tests.providers.bedrock_wire import taken

AT = datetime(2026, 11, 24, 18, 29, 26, tzinfo=UTC)
BEDROCK = Bedrock(now=lambda: AT, answer_id=lambda: "chatcmpl-1")
TARGET = Target(model_id="mine", provider_model="amazon.nova-lite-v1:0", endpoint="eu-west-1", secret="key", defaults={})
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS = "global.anthropic.claude-opus-4-7-v1"
USER = {"role": "user", "content": "hello"}
PNG = b64encode(b"\x89PNG").decode()
PDF = b64encode(b"%PDF-1.7").decode()
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": {"type": "object"}}}
TURN = {"role": "user", "content": [{"text": "hello"}]}


def sent(body: dict[str, Any], target: Target = TARGET, *, stream: bool = False, output_cap: int = 4_000) -> dict[str, Any]:
    chat = ChatCall(body={"model": "mine", "messages": [USER], **body}, output_cap=output_cap, stream=stream)
    return taken(BEDROCK.request(chat, target).body)


def messages(*said: dict[str, Any]) -> dict[str, Any]:
    return sent({"messages": list(said)})


def test_a_small_request() -> None:
    assert sent({}) == {"messages": [TURN], "inferenceConfig": {"maxTokens": 4_000}}


def test_sampling_and_stops_go_into_the_inference_config() -> None:
    config = sent({"temperature": 0.5, "top_p": 0.9, "stop": ["a", "b"], "max_tokens": 7}, output_cap=7)["inferenceConfig"]
    assert config == {"maxTokens": 7, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a", "b"]}
    assert sent({"stop": "a"})["inferenceConfig"]["stopSequences"] == ["a"]
    assert "stopSequences" not in sent({"stop": []})["inferenceConfig"]


def test_a_models_defaults_fill_what_is_unsaid_but_for_those_that_converse_has_not() -> None:
    target = replace(TARGET, defaults={"temperature": 0.2, "top_p": 0.3, "presence_penalty": 1.0})
    assert sent({"top_p": 0.4, "temperature": None}, target)["inferenceConfig"] == {"maxTokens": 4_000, "temperature": 0.2, "topP": 0.4}


def test_system_prompts_stand_in_front_and_turns_of_one_side_are_one() -> None:
    request = messages(
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "  "}]},
        {"role": "user", "content": "b"},
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "assistant", "content": ""},
    )
    assert request["system"] == [{"text": "be brief"}, {"text": "be kind"}]
    assert request["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


def test_images_files_and_sound_are_sent_as_bytes() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "file", "file": {"filename": "Q3_report (final).v2.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        {"type": "file", "file": {"file_data": f"data:text/csv;charset=utf-8;base64,{PDF}"}},
        {"type": "file", "file": {"file_data": f"data:text/csv;base64,{PDF}"}},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
    ]
    assert messages({"role": "user", "content": parts})["messages"][0]["content"] == [
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"document": {"format": "pdf", "name": "Q3 report (final) v2", "source": {"bytes": PDF}}},
        {"document": {"format": "csv", "name": "document", "source": {"bytes": PDF}}},
        {"document": {"format": "csv", "name": "document 2", "source": {"bytes": PDF}}},
        {"audio": {"format": "wav", "source": {"bytes": PNG}}},
    ]


def test_calls_of_tools_and_their_results_in_one_turn() -> None:
    request = messages(
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL | {"id": "call_2", "function": {"name": "now", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
        {"role": "user", "content": "and?"},
    )
    assert request["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Paris"}}},
                {"toolUse": {"toolUseId": "call_2", "name": "now", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "call_1", "content": [{"text": "sunny"}]}},
                {"toolResult": {"toolUseId": "call_2", "content": [{"text": "noon"}]}},
                {"text": "and?"},
            ],
        },
    ]
    named = [tool["toolSpec"]["name"] for tool in request["toolConfig"]["tools"]]
    assert named == ["weather", "now"]  # which Converse asks for, whether or not the request offers them again


def test_the_older_words_for_tools_are_understood() -> None:
    request = sent(
        {
            "functions": [WEATHER["function"]],
            "function_call": {"name": "weather"},
            "messages": [
                USER,
                {"role": "assistant", "content": None, "function_call": CALL["function"]},
                {"role": "function", "name": "weather", "content": "sunny"},
            ],
        }
    )
    assert request["messages"][1]["content"][0]["toolUse"]["toolUseId"] == request["messages"][2]["content"][0]["toolResult"]["toolUseId"]
    assert request["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}


def test_thoughts_come_back_as_they_were_given() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "redacted_thinking", "data": PNG}]
    request = messages(USER, {"role": "assistant", "content": "so", "thinking_blocks": blocks})
    assert request["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": PNG}},
        {"text": "so"},
    ]


def test_marks_for_the_cache_become_cache_points() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    request = sent(
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
                {"role": "user", "content": "a", **mark},
                {"role": "user", "content": "", **mark},
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sunny", **mark}]},
            ],
            "tools": [WEATHER | mark],
        }
    )
    point = {"cachePoint": {"type": "default"}}
    assert request["system"] == [{"text": "long"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert request["messages"][0]["content"] == [{"text": "a"}, point]
    assert request["messages"][2]["content"] == [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "sunny"}]}}, point]
    assert request["toolConfig"]["tools"][1:] == [point]


TOOL_CHOICES: dict[str, Any] = {"auto": None, "required": {"any": {}}, "none": None}


@pytest.mark.parametrize(("choice", "theirs"), TOOL_CHOICES.items())
def test_tools_and_which_may_be_called(choice: str, theirs: Any) -> None:
    request = sent({"tools": [WEATHER], "tool_choice": choice})
    if choice == "none":
        assert "toolConfig" not in request
    else:
        spec = {"toolSpec": {"name": "weather", "description": "Of a city.", "inputSchema": {"json": {"type": "object"}}}}
        assert request["toolConfig"] == {"tools": [spec]} | ({"toolChoice": theirs} if theirs else {})


def test_an_answer_by_a_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = sent({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}})
    text_format = request["outputConfig"]["textFormat"]
    assert orjson.loads(text_format["structure"]["jsonSchema"].pop("schema")) == schema
    assert text_format == {"type": "json_schema", "structure": {"jsonSchema": {"name": "n"}}}
    assert "outputConfig" not in sent({"response_format": {"type": "text"}})


REASONING = [
    (SONNET, "medium", {"thinking": {"type": "enabled", "budget_tokens": 2_000}}),
    (SONNET, "none", None),
    (OPUS, "high", {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}),
    ("us.amazon.nova-2-lite-v1:0", "minimal", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
    ("openai.gpt-oss-20b-1:0", "high", {"reasoning_effort": "high"}),
    ("openai.gpt-5-6-luna", "none", {"reasoning": {"effort": "none"}}),
    ("meta.llama3-1-8b-instruct-v1:0", "none", None),
]


@pytest.mark.parametrize(("model", "effort", "fields"), REASONING)
def test_each_family_is_told_in_its_own_words_how_much_to_think(model: str, effort: str, fields: Any) -> None:
    request = sent({"reasoning_effort": effort}, replace(TARGET, provider_model=model))
    assert request.get("additionalModelRequestFields") == fields


def test_parameters_of_the_models_own_pass() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked = {"top_k": 5, "thinking": thinking}
    assert sent(asked, replace(TARGET, provider_model=SONNET))["additionalModelRequestFields"] == asked
    assert sent({"top_k": 5})["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}


def test_metadata_can_be_found_in_the_invocation_logs() -> None:
    assert sent({"metadata": {"team": "search"}})["requestMetadata"] == {"team": "search"}


NEUTRAL: dict[str, Any] = {
    "n": 1,
    "logprobs": False,
    "logit_bias": {},
    "presence_penalty": 0,
    "frequency_penalty": 0.0,
    "parallel_tool_calls": True,
    "service_tier": "auto",
    "stream_options": {"include_usage": True},
    "seed": None,
    "modalities": ["text"],
    "user": "u",
    "store": True,
}


def test_what_asks_for_nothing_is_left_out() -> None:
    assert sent(NEUTRAL) == sent({})


UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"),
    ({"seed": 7}, "seed"),
    ({"logprobs": True}, "logprobs"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"presence_penalty": 0.1}, "presence_penalty"),
    ({"parallel_tool_calls": False}, "parallel_tool_calls"),
    ({"temperature": 1.5}, "temperature"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"max_gen_len": 10**6}, "max_gen_len"),
    ({"inferenceConfig": {"maxTokens": 10**6}}, "inferenceConfig"),
    ({"messages": [USER | {"name": "Ann"}]}, "messages[0].name"),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}], "tools": [WEATHER], "tool_choice": "none"},
        "tool_choice",
    ),
]


@pytest.mark.parametrize(("body", "param"), UNSUPPORTED)
def test_what_converse_can_not_do_is_refused_by_its_name_or_dropped_and_told(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        sent(body)
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")
    chat = ChatCall(body={"messages": [USER], **body}, output_cap=9, stream=False)
    dropping = BEDROCK.request(chat, replace(TARGET, drop_unsupported=True))
    taken(dropping.body)
    assert dropping.dropped == (param.replace("[0]", ""),)


def test_what_only_the_newest_models_can_not_do() -> None:
    with pytest.raises(Invalid, match="top_p"):
        sent({"temperature": 1, "top_p": 0.5}, replace(TARGET, provider_model=OPUS))
    assert "temperature" not in sent({"temperature": 1}, replace(TARGET, provider_model=OPUS))["inferenceConfig"]


def part(**said: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [said]}]}


PLACE = "messages[0].content[0]"
CALLED = "messages[0].tool_calls[0]"
WRONG: list[tuple[dict[str, Any], str]] = [
    (part(type="image_url", image_url={"url": "https://x.example/a.png"}), f"{PLACE}.image_url.url"),
    (part(type="image_url", image_url={"url": f"data:image/tiff;base64,{PNG}"}), f"{PLACE}.image_url.url"),
    (part(type="image_url", image_url={"url": "data:image/png;base64,%%%"}), f"{PLACE}.image_url.url"),
    (part(type="image_url", image_url={"url": "data:image/png;base64,ü"}), f"{PLACE}.image_url.url"),
    (part(type="image_url", image_url={"url": "data:image/png;base64,"}), f"{PLACE}.image_url.url"),
    (part(type="file", file={"file_id": "file-1"}), f"{PLACE}.file.file_id"),
    (part(type="file", file={"file_data": f"data:application/zip;base64,{PNG}"}), f"{PLACE}.file.file_data"),
    (part(type="file", file={}), f"{PLACE}.file.file_data"),
    (part(type="input_audio", input_audio={"data": PNG, "format": "flac"}), PLACE),
    (part(type="video_url", video_url={"url": "x"}), PLACE),
    (part(type="text", text="x", cache_control={"ttl": "1d"}), f"{PLACE}.cache_control"),
    ({"messages": [{"role": "system", "content": "only"}]}, "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages"),
    (
        {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}]},
        "messages[0].content",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "assistant", "tool_calls": [CALL | {"id": ""}]}]}, f"{CALLED}.id"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]}]}, CALLED),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]}]},
        f"{CALLED}.function.arguments",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"a"'}}]}]},
        f"{CALLED}.function.arguments",
    ),
    ({"messages": [{"role": "assistant", "thinking_blocks": [{"type": "thinking"}]}]}, "messages[0].thinking_blocks[0]"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    ({"reasoning_effort": "extreme"}, "reasoning_effort"),
]


@pytest.mark.parametrize(("body", "param"), WRONG)
def test_what_bedrock_would_refuse_is_refused_here_whether_or_not_the_model_drops(body: dict[str, Any], param: str) -> None:
    for target in (TARGET, replace(TARGET, drop_unsupported=True)):
        with pytest.raises(Invalid) as refused:
            sent(body, target)
        assert refused.value.param == param


def test_arguments_nested_too_deeply_are_refused() -> None:
    arguments = '{"a":' * 300 + "1" + "}" * 300
    with pytest.raises(Invalid):
        messages(USER, {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]})


def test_a_request_is_not_changed_by_being_sent() -> None:
    body = {"messages": [USER | {"cache_control": {"type": "ephemeral"}}], "tools": [WEATHER], "top_k": 1, "metadata": {"a": "b"}}
    before = orjson.dumps(body)
    sent(body)
    assert orjson.dumps(body) == before


ADDRESSES = {
    None: "https://bedrock-runtime.us-east-1.amazonaws.com",
    "eu-west-1": "https://bedrock-runtime.eu-west-1.amazonaws.com",
    "us-gov-west-1": "https://bedrock-runtime.us-gov-west-1.amazonaws.com",
    "cn-north-1": "https://bedrock-runtime.cn-north-1.amazonaws.com.cn",
    "eusc-de-east-1": "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu",
    "https://vpce-1.bedrock-runtime.us-west-2.vpce.amazonaws.com/": "https://vpce-1.bedrock-runtime.us-west-2.vpce.amazonaws.com",
    "http://proxy:8080/a b/bedrock": "http://proxy:8080/a%20b/bedrock",
}


@pytest.mark.parametrize(("endpoint", "whole"), ADDRESSES.items())
def test_an_endpoint_is_a_region_or_an_address(endpoint: str | None, whole: str) -> None:
    assert address(endpoint, None) == whole


def test_without_an_endpoint_the_region_is_the_credentials() -> None:
    assert address(None, "ap-south-1") == "https://bedrock-runtime.ap-south-1.amazonaws.com"


@pytest.mark.parametrize(("stream", "operation"), [(False, "converse"), (True, "converse-stream")])
def test_the_models_id_is_escaped_in_the_address(stream: bool, operation: str) -> None:
    chat = ChatCall(body={"messages": [USER]}, output_cap=9, stream=stream)
    wire = BEDROCK.request(chat, replace(TARGET, provider_model="arn:aws:bedrock:eu-west-1:123456789012:inference-profile/x.y"))
    escaped = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Fx.y"
    assert wire.url == f"https://bedrock-runtime.eu-west-1.amazonaws.com/model/{escaped}/{operation}"
    assert wire.signed
