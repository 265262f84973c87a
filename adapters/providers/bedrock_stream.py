"""A stream of ConverseStream's events as a stream of OpenAI's chunks: each frame becomes the events that Anthropic's stream would have."""

import struct
from collections.abc import Iterable
from typing import Any, Final

import orjson
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from adapters.providers.anthropic_stream import AnthropicStream
from adapters.providers.bedrock_answer import report_of, stopped
from adapters.providers.bedrock_failures import failure_of_event
from adapters.providers.failures import UNREADABLE
from adapters.providers.openai_usage import verbatim
from application.ports import Target

FRAME_BYTES_MAX: Final = 2 * 1024 * 1024

Events = list[dict[str, Any]]


class BedrockStream(AnthropicStream):
    """Never raises: what can't be read becomes `failure`, and nothing more is forwarded."""

    def __init__(self, target: Target, answer_id: str, *, include_usage: bool) -> None:
        super().__init__(target, include_usage=include_usage)
        self._answer_id = answer_id
        self._frames = EventStreamBuffer()
        self._rest_bytes = 0
        """Of the frame that isn't whole yet."""

    def feed(self, data: bytes) -> bytes:
        if self.done or self.failure:
            return b""
        self._frames.add_data(data)
        self._rest_bytes += len(data)
        forwarded: list[bytes] = []
        try:
            for frame in self._frames:
                self._take(frame, forwarded)
                if self.done or self.failure:
                    break
        except (ParserError, ValueError, TypeError, LookupError, struct.error):  # damaged, no frame at all, or not as Bedrock writes it
            self.failure = UNREADABLE
        if self._rest_bytes > FRAME_BYTES_MAX and not self.done:
            self.failure = self.failure or UNREADABLE
        return b"".join(forwarded)

    def end(self) -> bytes:
        """The usage comes after the last word; without it, the answer is whole all the same."""
        return self._stop() if self._finished and not self.done and self.failure is None else b""

    def _take(self, frame: EventStreamMessage, forwarded: list[bytes]) -> None:
        length = frame.prelude.total_length
        self._rest_bytes -= length
        if length > FRAME_BYTES_MAX:
            raise ValueError("too long")
        headers = frame.headers
        match headers.get(":message-type"):
            case "event":
                event = orjson.loads(frame.payload)
                forwarded.extend(self._read(each) for each in self._events_of(headers[":event-type"], event))
            case "exception":
                self.failure = failure_of_event(headers[":exception-type"], frame.payload)
            case "error":
                self.failure = failure_of_event(headers[":error-code"], orjson.dumps({"message": headers.get(":error-message")}))

    def _events_of(self, kind: str, event: Any) -> Iterable[dict[str, Any]]:
        """A generator: a block is open by the time its delta is told. New kinds may come at any time, and are passed over."""
        match kind, event:
            case "messageStart", _:
                yield {"type": "message_start", "message": {"id": self._answer_id}}
            case "contentBlockStart", {"contentBlockIndex": int() as index, "start": {"toolUse": dict() as call}} if (
                call.get("type") is None
            ):
                tool = {"type": "tool_use", "id": call.get("toolUseId"), "name": call.get("name")}
                yield {"type": "content_block_start", "index": index, "content_block": tool}
            case "contentBlockDelta", {"contentBlockIndex": int() as index, "delta": dict() as delta}:
                yield from self._deltas(index, delta)
            case "contentBlockStop", {"contentBlockIndex": int() as index}:
                yield {"type": "content_block_stop", "index": index}
            case "messageStop", dict():
                yield {"type": "message_delta", "delta": {"stop_reason": stopped(event.get("stopReason"))}}
            case "metadata", dict():
                self._note_usage(event.get("usage"))
                if self._finished:
                    yield {"type": "message_stop"}

    def _deltas(self, index: int, delta: dict[str, Any]) -> Events:
        """Only blocks of tools are opened in so many words."""
        match delta:
            case {"text": str() as text}:
                return [*self._opened(index, "text"), _delta(index, {"type": "text_delta", "text": text})]
            case {"toolUse": {"input": str() as piece}}:
                return [_delta(index, {"type": "input_json_delta", "partial_json": piece})]
            case {"reasoningContent": {"text": str() as text}}:
                return [*self._opened(index, "thinking"), _delta(index, {"type": "thinking_delta", "thinking": text})]
            case {"reasoningContent": {"signature": str() as signature}}:
                return [*self._opened(index, "thinking"), _delta(index, {"type": "signature_delta", "signature": signature})]
            case {"reasoningContent": {"redactedContent": str() as redacted}}:
                return self._opened(index, "redacted_thinking", data=redacted)
        return []

    def _opened(self, index: int, kind: str, **more: str) -> Events:
        return [] if index in self._blocks else [{"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}]

    def _note_usage(self, usage: Any) -> None:
        self._note(report_of(usage) or {})
        self.raw_usage = None if self.usage is None else verbatim(usage)


def _delta(index: int, delta: dict[str, str]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}
