"""What Anthropic sends: whole messages and streams of events, as its own SDK's types have them."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

USAGE: Mapping[str, Any] = {"input_tokens": 10, "output_tokens": 5}
CACHED: Mapping[str, Any] = {
    "input_tokens": 1_003,
    "cache_read_input_tokens": 20_001,
    "cache_creation_input_tokens": 3_007,
    "cache_creation": {"ephemeral_5m_input_tokens": 2_006, "ephemeral_1h_input_tokens": 1_001},
    "output_tokens": 507,
    "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
    "service_tier": "standard",
}
"""Five categories, by numbers that no two of them share."""

TEXT = {"type": "text", "text": "Hello there, friend"}
THINKING = {"type": "thinking", "thinking": "Let me see. Yes.", "signature": "c2lnbmVk"}
REDACTED = {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"}
PARIS = {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Paris", "days": [1, 2]}}
NOW = {"type": "tool_use", "id": "toolu_02", "name": "now", "input": {}}

EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def message(*content: Mapping[str, Any], stop_reason: str = "end_turn", usage: Mapping[str, Any] = USAGE, **more: Any) -> bytes:
    said = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-upstream",
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": dict(usage),
        **more,
    }
    Message.model_validate(said)
    return orjson.dumps(said)


def stream(*content: Mapping[str, Any], stop_reason: str = "end_turn", usage: Mapping[str, Any] = USAGE, **stopped: Any) -> bytes:
    """The same answer in pieces."""
    return b"".join(framed(event) for event in events(*content, stop_reason=stop_reason, usage=usage, **stopped))


def events(*content: Mapping[str, Any], stop_reason: str, usage: Mapping[str, Any], **stopped: Any) -> Iterable[dict[str, Any]]:
    yield _event("message_start", message=orjson.loads(message(usage={**usage, "output_tokens": 1})) | {"stop_reason": None})
    yield _event("ping")
    for index, block in enumerate(content):
        yield _event("content_block_start", index=index, content_block=_opened(block))
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": stop_reason, "stop_sequence": None, **stopped}
    yield _event("message_delta", delta=delta, usage={"output_tokens": usage["output_tokens"]})
    yield _event("message_stop")


def framed(event: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


def error(kind: str, words: str = "Something of theirs", **more: Any) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": words, **more}, "request_id": "req_01"})


def _event(kind: str, **fields: Any) -> dict[str, Any]:
    event = {"type": kind, **fields}
    if kind != "ping":
        EVENT.validate_python(event)
    return event


def _opened(block: Mapping[str, Any]) -> dict[str, Any]:
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use":
            return {**block, "input": {}}
    return dict(block)


def _deltas(block: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    match block["type"]:
        case "text":
            yield from ({"type": "text_delta", "text": piece} for piece in _pieces(block["text"]))
        case "thinking":
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"]))
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            written = orjson.dumps(block["input"]).decode() if block["input"] else ""
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ("", *_pieces(written)))


def _pieces(text: str) -> list[str]:
    return [text[begin : begin + 7] for begin in range(0, len(text), 7)]
