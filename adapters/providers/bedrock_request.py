"""A chat completion request of OpenAI's as a request to Bedrock's Converse."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from adapters.providers.anthropic_thinking import EFFORTS, reasoning_of, samples, version_of
from adapters.providers.anthropic_tools import NO_PARAMETERS, tools_of
from adapters.providers.bedrock_messages import Conversation, conversation_of, names_called
from adapters.providers.bedrock_parts import cache_point, wrong
from adapters.providers.unsupported import NEUTRAL, Unsupported
from application.ports import ChatCall, Target
from domain.errors import Invalid

JSON = dict[str, Any]

NO_EFFORT: Final = "none"

SAMPLING: Final = {"temperature": "temperature", "top_p": "topP"}
SAMPLING_MAX: Final = 1
"""OpenAI's temperature goes to 2. And the newest of Anthropic's models take nothing else than this."""
SERVICE_TIERS: Final = ("auto", "default")
"""Others have prices of their own, which nobody knows here."""

TRANSLATED: Final = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "stop", "response_format"),
        *("tools", "tool_choice", "functions", "function_call", "reasoning_effort", "metadata", "service_tier"),
        *SAMPLING,
    }
)
INERT: Final = frozenset({"user", "safety_identifier", "store", "prompt_cache_key", "prompt_cache_retention"})
"""They say nothing to the model, and change nothing about the answer."""
OWN: Final = ("top_k", "thinking", "output_config", "reasoning", "reasoning_config", "reasoningConfig", "chat_template_kwargs")
"""The models' own parameters, which a client may use as they are. Not all that there may be: some change what a token costs, and some
would let an answer grow beyond the cap."""

CLAUDE: Final = re.compile(r"\bclaude-")
NOVA: Final = re.compile(r"\bnova-")
LEVELS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
EFFORT_FIELDS: Final[Sequence[tuple[re.Pattern[str], Mapping[str, JSON]]]] = (
    (
        re.compile(r"\bnova-2-"),  # takes no cap of the output along with a high effort, and a call without a cap can't be held for
        {effort: {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": LEVELS[effort]}} for effort in ("minimal", "low", "medium")},
    ),
    (re.compile(r"\bgpt-oss-|\bkimi-k2"), {effort: {"reasoning_effort": level} for effort, level in LEVELS.items()}),
    (
        re.compile(r"\bopenai\.gpt-"),
        {effort: {"reasoning": {"effort": level}} for effort, level in {**EFFORTS, NO_EFFORT: NO_EFFORT}.items()},
    ),
)
"""How families of models are told how much to think, beside Anthropic's; to any other, a client must say it in the model's own words."""


def converse_of(chat: ChatCall, target: Target, unsupported: Unsupported) -> JSON:
    """Raises Invalid, naming the parameter, for what Converse can't do."""
    said = {**_defaults(target), **{name: value for name, value in chat.body.items() if value is not None}}
    conversation = conversation_of(said.get("messages") or (), unsupported)
    extra = {**_own(said, target.provider_model, unsupported), **_reasoning(said, chat.output_cap, target.provider_model, unsupported)}
    request: JSON = {"messages": conversation.turns, "inferenceConfig": _inference(said, chat.output_cap, target, unsupported)}
    request |= {"system": conversation.system} if conversation.system else {}
    request |= _tool_config(said, conversation, unsupported)
    request |= _format(said.get("response_format"), unsupported)
    request |= {"requestMetadata": said["metadata"]} if said.get("metadata") else {}
    request |= {"additionalModelRequestFields": extra} if extra else {}
    if said.get("service_tier", "auto") not in SERVICE_TIERS:
        unsupported.refuse("service_tier", "must be auto or default with this model's provider")
    return request


def _defaults(target: Target) -> JSON:
    """Penalties that a model is published with are no client's to answer for."""
    return {name: value for name, value in target.defaults.items() if name in SAMPLING}


def _own(said: Mapping[str, Any], provider_model: str, unsupported: Unsupported) -> JSON:
    for name, value in said.items():
        if name in INERT:
            unsupported.leave_out(name)
        elif name not in TRANSLATED and name not in OWN and not (name in NEUTRAL and NEUTRAL[name] == value):
            unsupported.refuse(name)
    own = {name: said[name] for name in OWN if name in said}
    if "top_k" in own and NOVA.search(provider_model):
        own["inferenceConfig"] = {"topK": own.pop("top_k")}
    return own


def _inference(said: Mapping[str, Any], output_cap: int, target: Target, unsupported: Unsupported) -> JSON:
    config: JSON = {"maxTokens": output_cap}
    is_claude = CLAUDE.search(target.provider_model)
    takes_any = not is_claude or samples(version_of(target.provider_model))
    for name, theirs in SAMPLING.items():
        value = said.get(name)
        if value is None or (not takes_any and value == SAMPLING_MAX):
            continue
        if not takes_any:
            unsupported.refuse(name)
        elif value > SAMPLING_MAX:
            unsupported.refuse(name, f"must be at most {SAMPLING_MAX} with this model's provider")
            config[theirs] = SAMPLING_MAX
        else:
            config[theirs] = value
    if stop := said.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    return config


def _reasoning(said: Mapping[str, Any], output_cap: int, provider_model: str, unsupported: Unsupported) -> JSON:
    effort = said.get("reasoning_effort")
    if effort is None:
        return {}
    if CLAUDE.search(provider_model):
        return reasoning_of(said, output_cap, version_of(provider_model), unsupported)
    if not isinstance(effort, str) or (effort not in EFFORTS and effort != NO_EFFORT):
        raise Invalid(f"'reasoning_effort' must be one of {NO_EFFORT}, {', '.join(EFFORTS)}.", param="reasoning_effort")
    for family, fields in EFFORT_FIELDS:
        if family.search(provider_model) and effort in fields:
            return fields[effort]
    if effort != NO_EFFORT:
        unsupported.refuse("reasoning_effort")
    return {}


def _tool_config(said: Mapping[str, Any], conversation: Conversation, unsupported: Unsupported) -> JSON:
    """Converse wants the tools of a conversation that has used some, also where none may be called any more."""
    wanted = tools_of({name: value for name, value in said.items() if name != "parallel_tool_calls"})
    used = names_called(conversation.turns)
    tools = wanted.get("tools") or [{"name": name, "input_schema": NO_PARAMETERS} for name in used]
    choice = wanted.get("tool_choice", {"type": "auto"})
    if not tools or (choice["type"] == "none" and not used):
        return {}
    specs = [block for index, tool in enumerate(tools) for block in _spec(tool, f"tools[{index}]")]
    match choice:
        case {"type": "none"}:
            unsupported.refuse("tool_choice", "must not be none after tools were called: this model's provider can't forbid it")
        case {"type": "any"}:
            return {"toolConfig": {"tools": specs, "toolChoice": {"any": {}}}}
        case {"type": "tool", "name": name}:
            return {"toolConfig": {"tools": specs, "toolChoice": {"tool": {"name": name}}}}
    return {"toolConfig": {"tools": specs}}


def _spec(tool: Mapping[str, Any], place: str) -> list[JSON]:
    spec = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
    return [{"toolSpec": {**spec, "inputSchema": {"json": tool["input_schema"]}}}, *cache_point(tool, place)]


def _format(asked: Any, unsupported: Unsupported) -> JSON:
    match asked:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema} as named}:
            about = {name: named[name] for name in ("name", "description") if isinstance(named.get(name), str) and named[name]}
            definition = {"schema": orjson.dumps(schema).decode(), **about}
            return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}}
        case {"type": "json_schema"}:
            raise wrong("response_format.json_schema.schema", "a JSON schema")
    unsupported.refuse("response_format", "must be of type json_schema: this model's provider answers in JSON by a schema alone")
    return {}
