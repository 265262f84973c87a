"""A chat completion request of OpenAI's as a request to Anthropic's Messages API."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.providers.anthropic_messages import conversation_of
from adapters.providers.anthropic_thinking import reasoning_of, samples, version_of
from adapters.providers.anthropic_tools import tools_of
from adapters.providers.unsupported import NEUTRAL, Unsupported
from application.ports import ChatCall, Target
from domain.errors import Invalid

TEMPERATURE_MAX: Final = 1
"""OpenAI's goes to 2."""
SAMPLING: Final = ("temperature", "top_p", "top_k")
SAMPLING_NEUTRAL: Final = 1
"""Of temperature and top_p; the newest models take nothing else."""

OWN: Final = ("thinking", "cache_control")
"""Anthropic's own parameters that a client may use as they are. Not those that change what a token costs (speed, inference_geo)."""
SERVICE_TIERS: Final = {"auto": "auto", "default": "standard_only"}
TRANSLATED: Final = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "stop", "response_format"),
        *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "reasoning_effort"),
        *("user", "safety_identifier", "metadata", "service_tier"),
        *SAMPLING,
        *OWN,
    }
)
INERT: Final = frozenset({"store", "prompt_cache_key", "prompt_cache_retention"})
"""They say nothing to the model, and change nothing about the answer."""


def body_of(chat: ChatCall, target: Target, unsupported: Unsupported) -> dict[str, Any]:
    """Raises Invalid, naming the parameter, for what Anthropic can't do."""
    said = {**target.defaults, **{name: value for name, value in chat.body.items() if value is not None}}
    version = version_of(target.provider_model)
    conversation = conversation_of(said.get("messages") or (), unsupported)
    body: dict[str, Any] = {"model": target.provider_model, "max_tokens": chat.output_cap}
    if conversation.system:
        body["system"] = conversation.system
    body["messages"] = conversation.turns
    body |= tools_of(said)
    body |= _sampling(said, unsupported, takes_any=samples(version))
    body |= _stops(said.get("stop"), unsupported)
    body |= _configured(reasoning_of(said, chat.output_cap, version, unsupported), _format(said.get("response_format"), unsupported))
    body |= _whose(said, unsupported)
    body |= _tier(said.get("service_tier"), unsupported)
    body |= {name: said[name] for name in OWN if name in said}
    if chat.stream:
        body["stream"] = True
    _refuse_the_rest(said, unsupported)
    return body


def _refuse_the_rest(said: Mapping[str, Any], unsupported: Unsupported) -> None:
    for name, value in said.items():
        if name in TRANSLATED or (name in NEUTRAL and NEUTRAL[name] == value):
            continue
        if name in INERT:
            unsupported.leave_out(name)
        else:
            unsupported.refuse(name)


def _sampling(said: Mapping[str, Any], unsupported: Unsupported, *, takes_any: bool) -> dict[str, Any]:
    asked = {name: said[name] for name in SAMPLING if name in said}
    if not takes_any:
        for name in asked:
            if asked[name] != SAMPLING_NEUTRAL or name == "top_k":
                unsupported.refuse(name)
        return {}
    if asked.get("temperature", 0) > TEMPERATURE_MAX:
        unsupported.refuse("temperature", f"must be at most {TEMPERATURE_MAX} with this model's provider")
        asked["temperature"] = TEMPERATURE_MAX
    return asked


def _stops(stop: Any, unsupported: Unsupported) -> dict[str, Any]:
    sequences = [stop] if isinstance(stop, str) else stop or []
    visible = [sequence for sequence in sequences if sequence.strip()]
    if len(visible) < len(sequences):
        unsupported.refuse("stop", "must not be white space alone with this model's provider")
    return {"stop_sequences": visible} if visible else {}


def _format(asked: Any, unsupported: Unsupported) -> dict[str, Any]:
    match asked:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return {"format": {"type": "json_schema", "schema": schema}}
        case {"type": "json_schema"}:
            raise Invalid("'response_format.json_schema.schema' must be a JSON schema.", param="response_format")
    unsupported.refuse("response_format", "must be of type json_schema: this model's provider answers in JSON by a schema alone")
    return {}


def _configured(reasoning: dict[str, Any], output_format: dict[str, Any]) -> dict[str, Any]:
    """How much thought, and which form, are said in one place."""
    output_config = {**reasoning.pop("output_config", {}), **output_format}
    return {**reasoning, "output_config": output_config} if output_config else reasoning


def _whose(said: Mapping[str, Any], unsupported: Unsupported) -> dict[str, Any]:
    metadata = said.get("metadata") or {}
    if any(name != "user_id" for name in metadata):
        unsupported.leave_out("metadata")
    user_id = said.get("safety_identifier") or said.get("user") or metadata.get("user_id")
    return {"metadata": {"user_id": user_id}} if isinstance(user_id, str) and user_id else {}


def _tier(asked: Any, unsupported: Unsupported) -> dict[str, Any]:
    if asked is None:
        return {}
    tier = SERVICE_TIERS.get(asked) if isinstance(asked, str) else None
    if tier is None:
        unsupported.refuse("service_tier", "must be auto or default with this model's provider")
        return {}
    return {"service_tier": tier}
