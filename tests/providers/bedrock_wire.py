"""What Bedrock sends and takes: answers, streams of frames, and requests, all held against botocore's own model of the service."""

import struct
from base64 import b64decode
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any
from zlib import crc32

import orjson
from botocore.eventstream import EventStream
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.validate import ParamValidator

USAGE: Mapping[str, Any] = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
CACHED: Mapping[str, Any] = {
    "inputTokens": 1_003,
    "cacheReadInputTokens": 20_001,
    "cacheWriteInputTokens": 3_007,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 1_001}, {"ttl": "5m", "inputTokens": 2_006}],
    "outputTokens": 507,
    "totalTokens": 24_518,
}
"""Five categories, by numbers that no two of them share."""

TEXT = {"text": "Hello there, friend"}
THINKING = {"reasoningContent": {"reasoningText": {"text": "Let me see. Yes.", "signature": "c2lnbmVk"}}}
REDACTED = {"reasoningContent": {"redactedContent": "ZW5jcnlwdGVk"}}
PARIS = {"toolUse": {"toolUseId": "tooluse_01", "name": "weather", "input": {"city": "Paris", "days": [1, 2]}}}
NOW = {"toolUse": {"toolUseId": "tooluse_02", "name": "now", "input": {}}}


@cache
def operation(name: str) -> OperationModel:
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime").operation_model(name)


def taken(body: bytes, name: str = "Converse") -> dict[str, Any]:
    """The request, if botocore would send it."""
    request: dict[str, Any] = orjson.loads(body)
    shape = operation(name).input_shape
    report = ParamValidator().validate({"modelId": "m", **_with_bytes(request, shape)}, shape)
    assert not report.has_errors(), report.generate_report()
    return request


def answer(*content: Mapping[str, Any], stop_reason: str = "end_turn", usage: Mapping[str, Any] = USAGE, **more: Any) -> bytes:
    said = {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop_reason,
        "usage": dict(usage),
        "metrics": {"latencyMs": 551},
        **more,
    }
    body = orjson.dumps(said)
    parsed = create_parser("rest-json").parse({"status_code": 200, "headers": {}, "body": body}, operation("Converse").output_shape)
    assert parsed["stopReason"] == stop_reason
    assert len(parsed["output"]["message"]["content"]) == len(content)
    return body


def stream(*content: Mapping[str, Any], stop_reason: str = "end_turn", usage: Mapping[str, Any] | None = USAGE) -> bytes:
    """The same answer in frames, of which botocore reads just as many."""
    told = list(_events(content, stop_reason, usage))
    sent = b"".join(event(kind, **said) for kind, said in told)
    assert [next(iter(each)) for each in read_by_botocore(sent)] == [kind for kind, _ in told]
    return sent


def event(kind: str, **said: Any) -> bytes:
    """Padded, as Bedrock pads it against whoever watches the lengths."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, orjson.dumps({**said, "p": "abcdefghij"}))


def exception(name: str, message: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, orjson.dumps({"message": message}))


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Lengths and their checksum, headers of type string, the payload, the checksum of all that."""
    written = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode() for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(written) + len(payload), len(written))
    whole = prelude + struct.pack("!I", crc32(prelude)) + written + payload
    return whole + struct.pack("!I", crc32(whole))


def read_by_botocore(sent: bytes) -> list[dict[str, Any]]:
    class Raw:
        def stream(self) -> Iterable[bytes]:
            yield sent

    shape = operation("ConverseStream").output_shape.members["stream"]
    return list(EventStream(Raw(), shape, EventStreamJSONParser(), "ConverseStream"))


def _events(
    content: Iterable[Mapping[str, Any]], stop_reason: str, usage: Mapping[str, Any] | None
) -> Iterable[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(content):
        if (call := block.get("toolUse")) is not None:
            begun = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
            yield "contentBlockStart", {"start": begun, "contentBlockIndex": index}
        for delta in _deltas(block):
            yield "contentBlockDelta", {"delta": delta, "contentBlockIndex": index}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": stop_reason}
    if usage is not None:
        yield "metadata", {"usage": dict(usage), "metrics": {"latencyMs": 551}}


def _deltas(block: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    match block:
        case {"text": text}:
            yield from ({"text": piece} for piece in _pieces(text))
        case {"toolUse": {"input": arguments}}:
            yield from ({"toolUse": {"input": piece}} for piece in _pieces(orjson.dumps(arguments).decode() if arguments else ""))
        case {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}:
            yield from ({"reasoningContent": {"text": piece}} for piece in _pieces(text))
            yield {"reasoningContent": {"signature": signature}}
        case {"reasoningContent": {"redactedContent": redacted}}:
            yield {"reasoningContent": {"redactedContent": redacted}}


def _pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


def _with_bytes(value: Any, shape: Any) -> Any:
    """As botocore's callers give it: bytes, where JSON has base64."""
    match shape.type_name:
        case "structure" if getattr(shape, "is_document_type", False):
            return value
        case "structure":
            assert value.keys() <= shape.members.keys(), value.keys() - shape.members.keys()
            return {name: _with_bytes(each, shape.members[name]) for name, each in value.items()}
        case "list":
            return [_with_bytes(each, shape.member) for each in value]
        case "blob":
            return b64decode(value, validate=True)
    return value
