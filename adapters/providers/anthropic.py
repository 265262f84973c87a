"""Anthropic's Messages API."""

import re
from typing import Final

import orjson

from adapters.providers.anthropic_answer import completion_of
from adapters.providers.anthropic_failures import failure_of_anthropic
from adapters.providers.anthropic_request import body_of
from adapters.providers.anthropic_stream import AnthropicStream
from adapters.providers.anthropic_usage import categories
from adapters.providers.openai import written
from adapters.providers.openai_usage import tokens_seen, verbatim
from adapters.providers.unsupported import Unsupported
from application.ports import Answered, ChatCall, ProviderFailure, Target, WireRequest

ENDPOINT: Final = "https://api.anthropic.com/v1"
PATH: Final = "/messages"
VERSION: Final = re.compile(r"/v\d")
API_VERSION: Final = "2023-06-01"


class Anthropic:
    """Where OpenAI's API can do more, the client is told; see `unsupported`."""

    def request(self, chat: ChatCall, target: Target) -> WireRequest:
        headers = {"Content-Type": "application/json", "anthropic-version": API_VERSION}
        if target.secret:
            headers["x-api-key"] = target.secret
        unsupported = Unsupported(drop=target.drop_unsupported)
        body = orjson.dumps(body_of(chat, target, unsupported))
        return WireRequest(url=address(target.endpoint or ENDPOINT), headers=headers, body=body, dropped=unsupported.dropped)

    def answer(self, body: bytes, target: Target) -> Answered:
        message = orjson.loads(body)
        if not isinstance(message, dict) or not isinstance(message.get("content"), list):
            raise ValueError("no message")  # noqa: TRY004 (the port's word for it)
        report = message.get("usage")
        usage = categories(report)
        completion = completion_of(message, target)
        return Answered(
            body=written(completion),
            usage=usage,
            raw_usage=None if usage is None else verbatim(report),
            output_tokens_seen=tokens_seen(message["content"]) if usage is None else 0,
        )

    def failure(self, status: int, headers: dict[str, str], body: bytes) -> ProviderFailure:
        return failure_of_anthropic(status, headers, body)

    def stream(self, target: Target, *, include_usage: bool) -> AnthropicStream:
        return AnthropicStream(target, include_usage=include_usage)


def address(endpoint: str) -> str:
    """An endpoint may leave out its version, and may be the whole address."""
    at = endpoint.rstrip("/")
    if at.endswith(PATH):
        return at
    return f"{at}{PATH}" if VERSION.search(at) else f"{at}/v1{PATH}"
