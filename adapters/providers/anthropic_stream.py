"""A stream of Anthropic's events as a stream of OpenAI's chunks."""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from adapters.providers.anthropic_answer import arguments, called, finish_reason, refusal_of, text, thought
from adapters.providers.anthropic_failures import failure_in_stream_of_anthropic
from adapters.providers.anthropic_usage import categories, in_openai_words, merged, service_tier
from adapters.providers.failures import UNREADABLE
from adapters.providers.openai_usage import tokens_seen, verbatim
from adapters.providers.server_sent_events import EventReader
from application.ports import ProviderFailure, Target
from domain.price import Category

OPEN_BLOCKS_MAX: Final = 64
"""They come one after another; a stream that opens more is not Anthropic's."""
THINKING_CHARACTERS_MAX: Final = 1024 * 1024
"""Of a block that is kept, to be given whole with its signature; of longer thinking there are only the deltas."""


@dataclass(slots=True)
class Block:
    """A content block under way."""

    opened: dict[str, Any]
    call: int = 0
    """Which tool call of the answer it is."""
    has_arguments: bool = False
    thinking: list[str] = field(default_factory=list)
    thinking_characters: int = 0
    signature: str = ""


class AnthropicStream:
    """Never raises: what can't be read becomes `failure`, and nothing more is forwarded."""

    def __init__(self, target: Target, *, include_usage: bool) -> None:
        self.usage: dict[str, int] | None = None
        self.raw_usage: dict[str, Any] | None = None
        self.output_tokens_seen = 0
        self.content_begun = False
        self.done = False
        self.failure: ProviderFailure | None = None
        self._target = target
        self._include_usage = include_usage
        self._events = EventReader()
        self._report: dict[str, Any] = {}
        self._id = ""
        self._blocks: dict[int, Block] = {}
        self._calls = 0
        self._thoughts = 0
        self._finished = False
        """It said why it stopped: without its last word too, the body's end is then the stream's."""

    def feed(self, data: bytes) -> bytes:
        return self._forward(self._events.feed(data))

    def end(self) -> bytes:
        forwarded = self._forward(self._events.end())
        if self._finished and not self.done and self.failure is None:
            forwarded += self._stop()
        return forwarded

    def _forward(self, payloads: list[bytes]) -> bytes:
        forwarded: list[bytes] = []
        for payload in payloads:
            if self.done or self.failure:
                break
            if payload:
                forwarded.append(self._event(payload))
        if self._events.too_long and not self.done:
            self.failure = self.failure or UNREADABLE
        return b"".join(forwarded)

    def _event(self, payload: bytes) -> bytes:
        try:
            return self._read(orjson.loads(payload))
        except (ValueError, TypeError):  # no JSON, not as Anthropic writes it, or nested beyond what orjson writes
            self.failure = UNREADABLE
            return b""

    def _read(self, event: Any) -> bytes:
        """New kinds of events and blocks may come at any time, and are passed over."""
        match event:
            case {"type": "message_start", "message": dict() as message}:
                return self._start(message)
            case {"type": "content_block_start", "index": int() as index, "content_block": dict() as block}:
                return self._open(index, block)
            case {"type": "content_block_delta", "index": int() as index, "delta": dict() as delta}:
                return self._continue(self._blocks.get(index), delta)
            case {"type": "content_block_stop", "index": int() as index}:
                return self._close(self._blocks.pop(index, None))
            case {"type": "message_delta", "delta": dict() as delta}:
                self._note(merged(self._report, event.get("usage")))
                return self._finish(delta)
            case {"type": "message_stop"}:
                return self._stop()
            case {"type": "error"}:
                self.failure = failure_in_stream_of_anthropic(event.get("error"))
                return b""
            case {"type": str()}:
                return b""
        raise TypeError("an event is an object with a type")

    def _start(self, message: dict[str, Any]) -> bytes:
        self._id = text(message.get("id"))
        if isinstance(report := message.get("usage"), dict):
            self._note(report)
        return self._delta({"role": "assistant", "content": ""})

    def _open(self, index: int, opened: dict[str, Any]) -> bytes:
        if len(self._blocks) >= OPEN_BLOCKS_MAX:
            raise ValueError("too many blocks")
        block = self._blocks[index] = Block(opened)
        match opened.get("type"):
            case "text":
                return self._said("content", opened.get("text"))
            case "thinking":
                return self._think(block, text(opened.get("thinking")))
            case "tool_use":
                block.call, self._calls = self._calls, self._calls + 1
                self._see(text(opened.get("name")))
                return self._call(called(block.call, opened.get("id"), opened.get("name"), ""))
        return b""

    def _continue(self, block: Block | None, delta: dict[str, Any]) -> bytes:
        match delta, block:
            case {"type": "text_delta"}, Block():
                return self._said("content", delta.get("text"))
            case {"type": "thinking_delta"}, Block():
                return self._think(block, text(delta.get("thinking")))
            case {"type": "signature_delta"}, Block():
                block.signature = text(delta.get("signature"))
            case {"type": "input_json_delta", "partial_json": str() as piece}, Block() if piece and block.opened.get("type") == "tool_use":
                block.has_arguments = True
                self._see(piece)
                return self._call({"index": block.call, "function": {"arguments": piece}})
        return b""

    def _close(self, block: Block | None) -> bytes:
        """Only now is it known that a call has no arguments, or what a thought's signature is."""
        match block:
            case Block(opened={"type": "tool_use"}) if not block.has_arguments:
                return self._call({"index": block.call, "function": {"arguments": arguments(block.opened.get("input"))}})
            case Block(opened={"type": "thinking"}) if block.signature and block.thinking_characters <= THINKING_CHARACTERS_MAX:
                return self._thought({"type": "thinking", "thinking": "".join(block.thinking), "signature": block.signature})
            case Block(opened={"type": "redacted_thinking"}):
                return self._thought(thought(block.opened))
        return b""

    def _finish(self, delta: dict[str, Any]) -> bytes:
        if (stop_reason := delta.get("stop_reason")) is None:
            return b""
        refused = self._said("refusal", refusal_of(delta))
        self._finished = self.content_begun = True
        reason = finish_reason(stop_reason, legacy_functions=self._target.legacy_functions)
        return refused + self._chunk([{"index": 0, "delta": {}, "finish_reason": reason}])

    def _stop(self) -> bytes:
        self.done = True
        if not self._include_usage or self.usage is None:
            return b""
        return self._chunk([], usage=in_openai_words(self._report), **service_tier(self._report))

    def _said(self, name: str, piece: Any) -> bytes:
        if not isinstance(piece, str) or not piece:
            return b""
        self._see(piece)
        return self._delta({name: piece})

    def _think(self, block: Block, piece: str) -> bytes:
        block.thinking_characters += len(piece)
        if block.thinking_characters <= THINKING_CHARACTERS_MAX:
            block.thinking.append(piece)
        return self._said("reasoning_content", piece)

    def _thought(self, block: dict[str, Any]) -> bytes:
        """Whole, and under an index, as clients gather lists."""
        self.content_begun = True
        index, self._thoughts = self._thoughts, self._thoughts + 1
        return self._delta({"thinking_blocks": [{"index": index, **block}]})

    def _call(self, call: dict[str, Any]) -> bytes:
        if not self._target.legacy_functions:
            return self._delta({"tool_calls": [call]})
        return self._delta({"function_call": call["function"]}) if call["index"] == 0 else b""

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": None}])

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._target.created,
            "model": self._target.model_id,
            "choices": choices,
            **more,
        }
        return b"data: %b\n\n" % orjson.dumps(chunk)

    def _see(self, piece: str) -> None:
        """Until the last report, the answer's length is known better from itself than from the first."""
        if not piece:
            return
        self.content_begun = True
        self.output_tokens_seen += tokens_seen(piece)
        if self.usage is not None and not self._finished:
            self.usage[Category.OUTPUT] = max(self.usage.get(Category.OUTPUT, 0), self.output_tokens_seen)

    def _note(self, report: dict[str, Any]) -> None:
        self._report = report
        self.usage = categories(report)
        self.raw_usage = None if self.usage is None else verbatim(report)
