"""What is asked of Anthropic for what an OpenAI client asks."""

from typing import Any

import orjson
import pytest

from adapters.providers.anthropic import address
from application.ports import ChatCall
from tests.providers.anthropic_asking import ANTHROPIC, MARK, TURN, refused, requested, sent, target, text, user

ADDRESSES = {
    "https://x.example": "https://x.example/v1/messages",
    "https://x.example/v1/": "https://x.example/v1/messages",
    "https://x.example/anthropic": "https://x.example/anthropic/v1/messages",
    "https://x.example/v1/messages": "https://x.example/v1/messages",
}


@pytest.mark.parametrize(("endpoint", "whole"), ADDRESSES.items())
def test_an_endpoint_may_leave_out_its_version_or_be_the_whole_address(endpoint: str, whole: str) -> None:
    assert address(endpoint) == whole


def test_without_an_endpoint_it_is_anthropic_itself_and_the_key_goes_in_its_own_header() -> None:
    request = requested({}, endpoint=None)
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("sk-ant-1", "2023-06-01")
    assert "x-api-key" not in requested({}, secret="").headers


def test_a_plain_request() -> None:
    assert sent({}) == {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": [TURN]}
    assert requested({}).dropped == ()


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_cap_is_the_one_that_was_admitted(name: str) -> None:
    body = sent({name: 7}, output_cap=7)
    assert body["max_tokens"] == 7
    assert "max_completion_tokens" not in body


def test_a_stream() -> None:
    body = sent({"stream": True, "stream_options": {"include_usage": True}}, stream=True)
    assert body["stream"] is True
    assert "stream_options" not in body


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": SCHEMA, "strict": True}}
THEIRS = {"name": "weather", "description": "Of a city.", "input_schema": SCHEMA, "strict": True}


def test_tools_in_both_words() -> None:
    assert sent({"tools": [TOOL]})["tools"] == [THEIRS]
    assert sent({"tools": [{**TOOL, "cache_control": MARK}]})["tools"] == [{**THEIRS, "cache_control": MARK}]
    assert sent({"tools": [{"type": "function", "function": {"name": "f"}}]})["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    ]
    legacy = sent({"functions": [TOOL["function"]], "function_call": {"name": "weather"}})
    assert (legacy["tools"], legacy["tool_choice"]) == ([THEIRS], {"type": "tool", "name": "weather", "disable_parallel_tool_use": True})


CHOICES = [
    ({}, None),
    ({"tool_choice": "auto"}, {"type": "auto"}),
    ({"tool_choice": "none"}, {"type": "none"}),
    ({"tool_choice": "required"}, {"type": "any"}),
    ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, {"type": "tool", "name": "weather"}),
    ({"parallel_tool_calls": True}, None),
    ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ({"parallel_tool_calls": False, "tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": True}),
    ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
]


@pytest.mark.parametrize(("asked", "choice"), CHOICES)
def test_which_tools_may_be_used(asked: dict[str, Any], choice: dict[str, Any] | None) -> None:
    assert sent({"tools": [TOOL], **asked}).get("tool_choice") == choice


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_choice_among_no_tools_is_none(choice: str) -> None:
    assert not sent({"tool_choice": choice, "tools": []}).keys() & {"tools", "tool_choice"}


TOOLS_REFUSED = [
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"tools": [TOOL], "tool_choice": "some"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
]


@pytest.mark.parametrize(("asked", "param"), TOOLS_REFUSED)
def test_tools_that_cannot_be_offered_are_refused(asked: dict[str, Any], param: str) -> None:
    assert refused(asked).param == param


FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": SCHEMA}}
PARAMETERS = [
    ({"temperature": 0.5, "top_p": 0.9, "top_k": 40}, {"temperature": 0.5, "top_p": 0.9, "top_k": 40}),
    ({"stop": "END"}, {"stop_sequences": ["END"]}),
    ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
    ({"stop": []}, {}),
    ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
    ({"safety_identifier": "s-1"}, {"metadata": {"user_id": "s-1"}}),
    ({"metadata": {"user_id": "m-1"}}, {"metadata": {"user_id": "m-1"}}),
    ({"service_tier": "auto"}, {"service_tier": "auto"}),
    ({"service_tier": "default"}, {"service_tier": "standard_only"}),
    ({"response_format": {"type": "text"}}, {}),
    ({"response_format": FORMAT}, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
    ({"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False, "logit_bias": {}, "store": False}, {}),
    ({"modalities": ["text"], "seed": None, "n": None}, {}),
]


@pytest.mark.parametrize(("asked", "said"), PARAMETERS)
def test_parameters_in_anthropics_words(asked: dict[str, Any], said: dict[str, Any]) -> None:
    assert sent(asked) == {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": [TURN], **said}
    assert requested(asked).dropped == ()


def test_defaults_of_the_model_fill_what_is_left_unsaid() -> None:
    body = sent({"temperature": 0, "top_p": None}, defaults={"temperature": 1.0, "top_p": 0.5})
    assert (body["temperature"], body["top_p"]) == (0, 0.5)


UNSUPPORTED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"n": 2}, "n", {}),
    ({"seed": 1}, "seed", {}),
    ({"logprobs": True}, "logprobs", {}),
    ({"top_logprobs": 3}, "top_logprobs", {}),
    ({"logit_bias": {"1": 2}}, "logit_bias", {}),
    ({"presence_penalty": 0.5}, "presence_penalty", {}),
    ({"frequency_penalty": 0.5}, "frequency_penalty", {}),
    ({"modalities": ["text", "audio"]}, "modalities", {}),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction", {}),
    ({"web_search_options": {}}, "web_search_options", {}),
    ({"speed": "fast"}, "speed", {}),
    ({"inference_geo": "us"}, "inference_geo", {}),
    ({"novel": 1}, "novel", {}),
    ({"temperature": 1.5}, "temperature", {"temperature": 1}),
    ({"stop": ["\n", "END"]}, "stop", {"stop_sequences": ["END"]}),
    ({"service_tier": "flex"}, "service_tier", {}),
    ({"response_format": {"type": "json_object"}}, "response_format", {}),
    ({"reasoning_effort": "low"}, "reasoning_effort", {}),  # with less than 1,024 tokens of output
]


@pytest.mark.parametrize(("asked", "name", "instead"), UNSUPPORTED)
def test_what_anthropic_cannot_do_is_refused_by_name_or_dropped_and_told(asked: dict[str, Any], name: str, instead: dict[str, Any]) -> None:
    wrong = refused(asked)
    assert (wrong.param, wrong.code) == (name, "unsupported_parameter")
    assert sent(asked, drop_unsupported=True) == {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": [TURN], **instead}
    assert requested(asked, drop_unsupported=True).dropped == (name,)


@pytest.mark.parametrize("asked", [{"store": True}, {"prompt_cache_key": "k"}, {"metadata": {"project": "p", "user_id": "u"}}])
def test_what_changes_nothing_about_the_answer_is_left_out_and_told(asked: dict[str, Any]) -> None:
    assert requested(asked).dropped == tuple(asked)


def test_a_parameters_name_that_is_no_name_stays_out_of_the_headers() -> None:
    assert requested({"x\r\ny: z": 1, "seed": 2}, drop_unsupported=True).dropped == ("seed",)


ADAPTIVE = {"type": "adaptive", "display": "summarized"}
REASONING: list[tuple[str, str, dict[str, Any]]] = [
    ("claude-sonnet-4-5-20250929", "low", {"thinking": {"type": "enabled", "budget_tokens": 2_000}}),
    ("claude-3-7-sonnet-20250219", "medium", {"thinking": {"type": "enabled", "budget_tokens": 5_000}}),
    ("claude-sonnet-4-20250514", "minimal", {"thinking": {"type": "enabled", "budget_tokens": 1_024}}),
    ("claude-opus-4-5", "none", {}),
    ("claude-opus-4-6", "high", {"thinking": ADAPTIVE, "output_config": {"effort": "high"}}),
    ("claude-opus-5", "minimal", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}),
    ("claude-fable-5-1", "xhigh", {"thinking": ADAPTIVE, "output_config": {"effort": "xhigh"}}),
    ("claude-mythos-preview", "max", {"thinking": ADAPTIVE, "output_config": {"effort": "max"}}),
    ("claude-haiku-5-5", "none", {"thinking": {"type": "disabled"}}),
]


@pytest.mark.parametrize(("model", "effort", "said"), REASONING)
def test_each_generation_is_told_how_much_to_think_in_its_own_way(model: str, effort: str, said: dict[str, Any]) -> None:
    body = sent({"reasoning_effort": effort}, provider_model=model, output_cap=10_000)
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == said


def test_effort_and_format_share_a_place_and_a_clients_own_thinking_goes_first() -> None:
    asked = {"reasoning_effort": "low", "response_format": FORMAT, "thinking": {"type": "adaptive"}}
    body = sent(asked, provider_model="claude-opus-5")
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}
    assert body["thinking"] == {"type": "adaptive"}


def test_models_that_do_not_think_or_sample_are_known_by_their_version() -> None:
    assert refused({"reasoning_effort": "low"}, provider_model="claude-3-haiku-20240307", output_cap=9_999).param == "reasoning_effort"
    assert refused({"temperature": 0.2}, provider_model="claude-opus-4-7").param == "temperature"
    assert "temperature" not in sent({"temperature": 1}, provider_model="claude-opus-4-7")
    assert sent({"temperature": 0.2}, provider_model="claude-latest")["temperature"] == 0.2


@pytest.mark.parametrize("effort", ["enormous", 3, {}])
def test_an_effort_that_is_none_is_refused(effort: Any) -> None:
    assert refused({"reasoning_effort": effort}).param == "reasoning_effort"


def test_a_request_is_not_changed_by_being_translated() -> None:
    body = {"messages": [user(text("a")), user(text("b"), cache_control=MARK)], "tools": [TOOL], "stop": ["a"]}
    before = orjson.dumps(body)
    ANTHROPIC.request(ChatCall(body=body, output_cap=1, stream=False), target(defaults={"top_p": 0.5}))
    assert orjson.dumps(body) == before
