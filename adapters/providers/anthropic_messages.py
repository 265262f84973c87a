"""A conversation in OpenAI's words, told in Anthropic's: a system prompt, and turns of content blocks."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from adapters.providers.anthropic_parts import Blocks, blocks_of, text_blocks
from adapters.providers.unsupported import Unsupported
from domain.errors import Invalid

ID_TAKEN: Final = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
ID_REFUSED: Final = re.compile(r"[^a-zA-Z0-9_-]", re.ASCII)

THINKING: Final = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}
"""What a block of each kind holds. They come back as they were given, or not at all: Anthropic verifies its signature."""


class Conversation(NamedTuple):
    system: Blocks
    turns: list[dict[str, Any]]


def conversation_of(messages: Iterable[Mapping[str, Any]], unsupported: Unsupported) -> Conversation:
    """Anthropic knows one system prompt, in front. What follows one another on the same side becomes one turn."""
    said = Conversation([], [])
    functions: dict[str, str] = {}
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        match message["role"]:
            case "system" | "developer":
                said.system.extend(_marked(text_blocks(message.get("content"), place), message))
            case "user":
                _append(said, "user", _marked(blocks_of(message.get("content"), place, unsupported), message))
            case "assistant":
                _append(said, "assistant", _marked(_answer(message, index, functions, unsupported), message))
            case "function":
                call_id = functions.get(message.get("name") or "", f"call_{index}")
                _append(said, "user", _marked([_result(message, call_id, place, unsupported)], message))
            case "tool":
                call_id = tool_id(message.get("tool_call_id"), f"{place}.tool_call_id")
                _append(said, "user", _marked([_result(message, call_id, place, unsupported)], message))
        if message.get("name") and message["role"] not in ("tool", "function"):
            unsupported.refuse("messages.name", place=f"{place}.name")
    if not said.turns:
        raise Invalid("'messages' must hold something besides a system prompt: this model's provider asks for it.", param="messages")
    return said


def tool_id(value: Any, place: str) -> str:
    """Ids of Anthropic's own come back unchanged; other providers', of a conversation that began there, are made to fit."""
    if not isinstance(value, str) or not value:
        raise Invalid(f"'{place}' must be the id of a tool call.", param=place)
    return value if ID_TAKEN.fullmatch(value) else ID_REFUSED.sub("_", value)


def _append(said: Conversation, role: str, blocks: Blocks) -> None:
    if not blocks:
        return
    if said.turns and said.turns[-1]["role"] == role:
        said.turns[-1]["content"].extend(blocks)
    else:
        said.turns.append({"role": role, "content": blocks})


def _marked(blocks: Blocks, message: Mapping[str, Any]) -> Blocks:
    """A message may be marked for the cache as a whole: up to its last block, then."""
    if blocks and isinstance(mark := message.get("cache_control"), dict):
        blocks[-1].setdefault("cache_control", mark)
    return blocks


def _answer(message: Mapping[str, Any], index: int, functions: dict[str, str], unsupported: Unsupported) -> Blocks:
    place = f"messages[{index}]"
    blocks = _thoughts(message.get("thinking_blocks"), f"{place}.thinking_blocks")
    blocks += blocks_of(message.get("content"), place, unsupported)
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        blocks.append({"type": "text", "text": refusal})
    if message.get("audio"):
        unsupported.refuse("messages.audio", place=f"{place}.audio")
    if message.get("reasoning_content") and not message.get("thinking_blocks"):
        unsupported.leave_out("messages.reasoning_content")
    for number, call in enumerate(message.get("tool_calls") or ()):
        blocks.append(_call(call, f"{place}.tool_calls[{number}]"))
    if isinstance(function := message.get("function_call"), dict):
        called = _use(function, f"call_{index}", f"{place}.function_call")
        functions[called["name"]] = called["id"]
        blocks.append(called)
    return blocks


def _call(call: Mapping[str, Any], place: str) -> dict[str, Any]:
    if call.get("type") not in (None, "function") or not isinstance(function := call.get("function"), dict):
        raise Invalid(f"'{place}' must be the call of a function: this model's provider knows no other.", param=place)
    return _use(function, tool_id(call.get("id"), f"{place}.id"), f"{place}.function")


def _use(function: Mapping[str, Any], call_id: str, place: str) -> dict[str, Any]:
    if not isinstance(name := function.get("name"), str) or not name:
        raise Invalid(f"'{place}.name' must be the name of a function.", param=f"{place}.name")
    return {"type": "tool_use", "id": call_id, "name": name, "input": _arguments(function.get("arguments"), f"{place}.arguments")}


def _arguments(written: Any, place: str) -> dict[str, Any]:
    try:
        arguments = orjson.loads(written) if isinstance(written, str) and written.strip() else {}
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise Invalid(f"'{place}' must be a JSON object: this model's provider takes no other arguments.", param=place)
    return arguments


def _result(message: Mapping[str, Any], call_id: str, place: str, unsupported: Unsupported) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
    if content := blocks_of(message.get("content"), place, unsupported):
        result["content"] = content
    return result


def _thoughts(said: Any, place: str) -> Blocks:
    thoughts: Blocks = []
    for number, block in enumerate(said if isinstance(said, list) else ()):
        fields = THINKING.get(str(block.get("type"))) if isinstance(block, dict) else None
        if fields is None or not all(isinstance(block.get(name), str) for name in fields):
            raise Invalid(f"'{place}[{number}]' must be a block of thinking as it was given.", param=f"{place}[{number}]")
        thoughts.append({"type": block["type"], **{name: block[name] for name in fields}})
    return thoughts
