"""Converse's answers in the words of Anthropic's Messages API, from which they are told to OpenAI's clients: the two APIs say the same."""

import re
from collections.abc import Mapping
from typing import Any, Final

STOPPED: Final = {
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
    "malformed_model_output": "end_turn",
    "malformed_tool_use": "end_turn",
}
"""Other reasons have the same names there."""
COUNTS: Final = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
}
"""Disjoint, as AWS documents: `inputTokens` leaves out what was read from the cache or written to it."""


def message_of(answer: Any, answer_id: str) -> dict[str, Any]:
    """Raises ValueError for what is no answer."""
    match answer:
        case {"output": {"message": {"content": list() as content}}}:
            return {
                "id": answer_id,
                "content": [block for each in content if isinstance(each, dict) for block in _blocks(each)],
                "stop_reason": stopped(answer.get("stopReason")),
                "usage": report_of(answer.get("usage")),
            }
    raise ValueError("no answer of Converse's")


def stopped(reason: Any) -> Any:
    return STOPPED.get(reason, reason) if isinstance(reason, str) else "end_turn"


def report_of(usage: Any) -> dict[str, Any] | None:
    """Of what was written to the cache, the report says for how long."""
    if not isinstance(usage, Mapping):
        return None
    report: dict[str, Any] = {theirs: usage[name] for name, theirs in COUNTS.items() if usage.get(name) is not None}
    details = usage.get("cacheDetails")
    for detail in details if isinstance(details, list) else ():
        match detail:
            case {"ttl": str() as ttl, "inputTokens": int() as tokens} if re.fullmatch("5m|1h", ttl):
                report.setdefault("cache_creation", {})[f"ephemeral_{ttl}_input_tokens"] = tokens
    return report


def _blocks(block: dict[str, Any]) -> list[dict[str, Any]]:
    """New kinds of blocks may come at any time, and are passed over."""
    match block:
        case {"text": str() as text}:
            return [{"type": "text", "text": text}]
        case {"citationsContent": {"content": list() as pieces}}:
            return [{"type": "text", "text": piece["text"]} for piece in pieces if isinstance(piece, dict) and "text" in piece]
        case {"toolUse": {"toolUseId": call_id, "name": name} as call} if call.get("type") is None:
            return [{"type": "tool_use", "id": call_id, "name": name, "input": call.get("input")}]
        case {"reasoningContent": {"reasoningText": {"text": str() as text} as thought}}:
            signed = {"signature": signature} if isinstance(signature := thought.get("signature"), str) else {}
            return [{"type": "thinking", "thinking": text, **signed}]
        case {"reasoningContent": {"redactedContent": str() as redacted}}:
            return [{"type": "redacted_thinking", "data": redacted}]
    return []
