"""A conversation in OpenAI's words, told in Converse's: a system prompt, and turns of content blocks."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from adapters.providers.bedrock_parts import Blocks, blocks_of, cache_point, wrong
from adapters.providers.unsupported import Unsupported


class Conversation(NamedTuple):
    system: Blocks
    turns: list[dict[str, Any]]


def conversation_of(messages: Iterable[Mapping[str, Any]], unsupported: Unsupported) -> Conversation:
    """Converse knows one system prompt, in front. What follows one another on the same side becomes one turn: so it wants the
    results of parallel calls."""
    said = Conversation([], [])
    functions: dict[str, str] = {}
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        match message["role"]:
            case "system" | "developer":
                said.system.extend(_marked(_system(message, place, unsupported), message, place))
            case "assistant":
                _append(said, "assistant", _marked(_answer(message, index, functions, unsupported), message, place))
            case "tool":
                call_id = _word(message.get("tool_call_id"), f"{place}.tool_call_id")
                _append(said, "user", _result(message, call_id, place, unsupported))
            case "function":
                call_id = functions.get(message.get("name") or "", f"call_{index}")
                _append(said, "user", _result(message, call_id, place, unsupported))
            case _:
                _append(said, "user", _marked(blocks_of(message.get("content"), place, unsupported), message, place))
        if message.get("name") and message["role"] not in ("tool", "function"):
            unsupported.refuse("messages.name", place=f"{place}.name")
    if not said.turns:
        raise wrong("messages", "more than a system prompt and blanks: this model's provider asks for it")
    _tell_documents_apart(said.turns)
    return said


def names_called(turns: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each tool that the conversation has used, once."""
    return list(dict.fromkeys(block["toolUse"]["name"] for turn in turns for block in turn["content"] if "toolUse" in block))


def _system(message: Mapping[str, Any], place: str, unsupported: Unsupported) -> Blocks:
    blocks = blocks_of(message.get("content"), place, unsupported)
    if not all("text" in block or "cachePoint" in block for block in blocks):
        raise wrong(f"{place}.content", "text: this model's provider takes nothing else as a system prompt")
    return blocks


def _marked(blocks: Blocks, message: Mapping[str, Any], place: str) -> Blocks:
    """A message may be marked for the cache as a whole."""
    return blocks + cache_point(message, place) if blocks else blocks


def _append(said: Conversation, role: str, blocks: Blocks) -> None:
    if not blocks:
        return
    if said.turns and said.turns[-1]["role"] == role:
        said.turns[-1]["content"].extend(blocks)
    else:
        said.turns.append({"role": role, "content": blocks})


def _answer(message: Mapping[str, Any], index: int, functions: dict[str, str], unsupported: Unsupported) -> Blocks:
    place = f"messages[{index}]"
    blocks = _thoughts(message.get("thinking_blocks"), f"{place}.thinking_blocks")
    blocks += blocks_of(message.get("content"), place, unsupported)
    blocks += blocks_of(message.get("refusal"), place, unsupported)
    if message.get("audio"):
        unsupported.refuse("messages.audio", place=f"{place}.audio")
    if message.get("reasoning_content") and not message.get("thinking_blocks"):
        unsupported.leave_out("messages.reasoning_content")
    for number, call in enumerate(message.get("tool_calls") or ()):
        blocks.append(_call(call, f"{place}.tool_calls[{number}]"))
    if isinstance(function := message.get("function_call"), dict):
        called = _use(function, f"call_{index}", f"{place}.function_call")
        functions[called["toolUse"]["name"]] = f"call_{index}"
        blocks.append(called)
    return blocks


def _call(call: Mapping[str, Any], place: str) -> dict[str, Any]:
    if call.get("type") not in (None, "function") or not isinstance(function := call.get("function"), dict):
        raise wrong(place, "the call of a function: this model's provider knows no other")
    return _use(function, _word(call.get("id"), f"{place}.id"), f"{place}.function")


def _use(function: Mapping[str, Any], call_id: str, place: str) -> dict[str, Any]:
    name = _word(function.get("name"), f"{place}.name")
    return {"toolUse": {"toolUseId": call_id, "name": name, "input": _arguments(function.get("arguments"), f"{place}.arguments")}}


def _arguments(written: Any, place: str) -> dict[str, Any]:
    try:
        arguments = orjson.loads(written) if isinstance(written, str) and written.strip() else {}
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise wrong(place, "a JSON object: this model's provider takes no other arguments")
    return arguments


def _result(message: Mapping[str, Any], call_id: str, place: str, unsupported: Unsupported) -> Blocks:
    """A mark for the cache stands behind the result, not in it."""
    blocks = blocks_of(message.get("content"), place, unsupported)
    marks = [block for block in blocks if "cachePoint" in block] or cache_point(message, place)
    content = [block for block in blocks if "cachePoint" not in block]
    return [{"toolResult": {"toolUseId": call_id, "content": content}}, *marks[:1]]


def _thoughts(said: Any, place: str) -> Blocks:
    """They come back as they were given, or not at all: their signature is verified."""
    return [_thought(block, f"{place}[{number}]") for number, block in enumerate(said if isinstance(said, list) else ())]


def _thought(block: Any, place: str) -> dict[str, Any]:
    match block:
        case {"type": "thinking", "thinking": str() as text, "signature": str() as signature}:
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        case {"type": "redacted_thinking", "data": str() as redacted}:
            return {"reasoningContent": {"redactedContent": redacted}}
        case _:
            raise wrong(place, "a block of thinking as it was given")


def _word(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise wrong(place, "a string that is not empty")
    return value


def _tell_documents_apart(turns: Iterable[Mapping[str, Any]]) -> None:
    """Converse refuses two of one name."""
    seen = Counter[str]()
    for turn in turns:
        for block in turn["content"]:
            for part in (block, *block.get("toolResult", {}).get("content", ())):
                if (document := part.get("document")) is not None:
                    name = document["name"]
                    seen[name] += 1
                    document["name"] = name if seen[name] == 1 else f"{name} {seen[name]}"
