"""The stream of any OpenAI-compatible chat completion: forwarded chunk by chunk, read for what the ledger needs."""

from typing import Any

import orjson

from adapters.providers.failures import UNREADABLE, failure_in_stream
from adapters.providers.openai_usage import categories, tokens_seen, verbatim
from adapters.providers.server_sent_events import EventReader
from application.ports import ProviderFailure


class OpenAIStream:
    """Never raises: what can't be read becomes `failure`, and nothing more is forwarded.

    Chunks are parsed for their usage anyway, and writing one takes a quarter of the time that reading it took; so each is written
    anew with the gateway's name of the model in it, rather than patched by a search that would have to prove what it found.
    """

    __slots__ = (
        "_events",
        "_finished",
        "_include_usage",
        "_model_id",
        "content_begun",
        "done",
        "failure",
        "output_tokens_seen",
        "raw_usage",
        "usage",
    )

    def __init__(self, model_id: str, *, include_usage: bool) -> None:
        self.usage: dict[str, int] | None = None
        self.raw_usage: dict[str, Any] | None = None
        self.output_tokens_seen = 0
        self.content_begun = False
        self.done = False
        self.failure: ProviderFailure | None = None
        self._model_id = model_id
        self._include_usage = include_usage
        self._events = EventReader()
        self._finished = False
        """A choice gave its finish_reason: without `[DONE]` too, the body's end is then the stream's."""

    def feed(self, data: bytes) -> bytes:
        return self._forward(self._events.feed(data))

    def end(self) -> bytes:
        forwarded = self._forward(self._events.end())
        self.done = self.failure is None and (self.done or self._finished)
        return forwarded

    def _forward(self, payloads: list[bytes]) -> bytes:
        forwarded: list[bytes] = []
        for payload in payloads:
            if self.done or self.failure:
                break
            if payload == b"[DONE]":
                self.done = True
            elif payload:
                forwarded.append(self._chunk(payload))
        if self._events.too_long and not self.done:
            self.failure = self.failure or UNREADABLE
        return b"".join(forwarded)

    def _chunk(self, payload: bytes) -> bytes:
        try:
            return self._read(orjson.loads(payload))
        except (ValueError, TypeError):  # no JSON, or nested beyond what orjson writes
            self.failure = UNREADABLE
            return b""

    def _read(self, chunk: Any) -> bytes:
        if not isinstance(chunk, dict):
            raise TypeError("a chunk is an object")
        if error := chunk.get("error"):
            self.failure = failure_in_stream(error)
            return b""
        choices = chunk.get("choices")
        reported = self._report(chunk.get("usage"))
        if choices and isinstance(choices, list):
            self._count(choices)
        elif reported and not self._include_usage:
            return b""  # OpenAI sends this chunk only to who asks for it; we always ask
        chunk["model"] = self._model_id
        return b"data: %b\n\n" % orjson.dumps(chunk)

    def _report(self, report: Any) -> bool:
        """Some providers report in every chunk, cumulatively: the last word counts."""
        if report is None or (usage := categories(report)) is None:
            return False
        self.usage, self.raw_usage = usage, verbatim(report)
        return True

    def _count(self, choices: list[Any]) -> None:
        for choice in choices:
            if isinstance(choice, dict):
                tokens = tokens_seen(choice.get("delta"))
                self.output_tokens_seen += tokens
                self._finished = self._finished or bool(choice.get("finish_reason"))
                self.content_begun = self.content_begun or tokens > 0 or self._finished
