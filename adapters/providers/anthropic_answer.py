"""A message of Anthropic's as a chat completion of OpenAI's."""

from typing import Any, Final

import orjson

from adapters.providers.anthropic_usage import in_openai_words, service_tier
from application.ports import Target

FINISHED: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
THOUGHTS: Final = ("thinking", "redacted_thinking")


def completion_of(message: dict[str, Any], target: Target) -> dict[str, Any]:
    blocks = [block for block in message["content"] if isinstance(block, dict)]
    usage = message.get("usage")
    return {
        "id": text(message.get("id")),
        "object": "chat.completion",
        "created": target.created,
        "model": target.model_id,
        "choices": [
            {
                "index": 0,
                "message": _message(blocks, message, legacy_functions=target.legacy_functions),
                "logprobs": None,
                "finish_reason": finish_reason(message.get("stop_reason"), legacy_functions=target.legacy_functions),
            }
        ],
        **({"usage": in_openai_words(usage)} if isinstance(usage, dict) else {}),
        **service_tier(usage),
    }


def finish_reason(stop_reason: Any, *, legacy_functions: bool) -> str:
    """A reason that is new to us is an end all the same."""
    reason = FINISHED.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"
    return "function_call" if legacy_functions and reason == "tool_calls" else reason


def refusal_of(stopped: dict[str, Any]) -> str | None:
    """Why it refused, where it says so."""
    details = stopped.get("stop_details")
    explanation = details.get("explanation") if stopped.get("stop_reason") == "refusal" and isinstance(details, dict) else None
    return text(explanation) or None


def called(index: int, call_id: Any, name: Any, arguments: str) -> dict[str, Any]:
    """A tool call as streams begin it; a plain answer leaves out the index."""
    return {"index": index, "id": text(call_id), "type": "function", "function": {"name": text(name), "arguments": arguments}}


def thought(block: dict[str, Any]) -> dict[str, Any]:
    """With its signature, so that a client can send it back: in `thinking_blocks`, as LiteLLM's clients do."""
    return {name: value for name, value in block.items() if name in ("type", "thinking", "signature", "data")}


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _message(blocks: list[dict[str, Any]], message: dict[str, Any], *, legacy_functions: bool) -> dict[str, Any]:
    texts = [text(block.get("text")) for block in blocks if block.get("type") == "text"]
    said: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": refusal_of(message)}
    if reasoning := "".join(text(block.get("thinking")) for block in blocks if block.get("type") == "thinking"):
        said["reasoning_content"] = reasoning
    if thoughts := [thought(block) for block in blocks if block.get("type") in THOUGHTS]:
        said["thinking_blocks"] = thoughts
    used = [block for block in blocks if block.get("type") == "tool_use"]
    calls = [called(index, block.get("id"), block.get("name"), arguments(block.get("input"))) for index, block in enumerate(used)]
    if calls and legacy_functions:
        said["function_call"] = calls[0]["function"]
    elif calls:
        said["tool_calls"] = [{name: value for name, value in call.items() if name != "index"} for call in calls]
    return said


def arguments(used: Any) -> str:
    try:
        return orjson.dumps(used or {}).decode()
    except TypeError:
        raise ValueError("nested too deeply") from None
