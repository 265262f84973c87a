"""OpenAI, and every server that speaks its chat completions."""

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from adapters.providers.failures import failure_of
from adapters.providers.openai_stream import OpenAIStream
from adapters.providers.openai_usage import categories, tokens_seen, verbatim
from application.ports import Answered, ChatCall, ProviderFailure, Target, WireRequest

ENDPOINT: Final = "https://api.openai.com/v1"
PATH: Final = "/chat/completions"
VERSION: Final = re.compile(r"/v\d")
CAP_FIELDS: Final = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class OpenAI:
    """`cap_field`: where the gateway's own cap of the output goes; a client's stays in the field that the client chose."""

    cap_field: str
    endpoint: str = ENDPOINT
    """Where a credential names none."""

    def request(self, chat: ChatCall, target: Target) -> WireRequest:
        headers = {"Content-Type": "application/json"}
        if target.secret:
            headers["Authorization"] = f"Bearer {target.secret}"
        return WireRequest(url=address(target.endpoint or self.endpoint), headers=headers, body=orjson.dumps(self._body(chat, target)))

    def answer(self, body: bytes, target: Target) -> Answered:
        answer = orjson.loads(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise ValueError("no chat completion")  # noqa: TRY004 (the port's word for it)
        answer["model"] = target.model_id
        report = answer.get("usage")
        usage = categories(report)
        return Answered(
            body=written(answer),
            usage=usage,
            raw_usage=None if usage is None else verbatim(report),
            output_tokens_seen=tokens_seen(messages_of(answer["choices"])) if usage is None else 0,
        )

    def failure(self, status: int, headers: dict[str, str], body: bytes) -> ProviderFailure:
        return failure_of(status, headers, body)

    def stream(self, target: Target, *, include_usage: bool) -> OpenAIStream:
        return OpenAIStream(target.model_id, include_usage=include_usage)

    def _body(self, chat: ChatCall, target: Target) -> dict[str, Any]:
        body = dict(chat.body)
        for name, value in target.defaults.items():
            if body.get(name) is None:
                body[name] = value
        if all(body.get(name) is None for name in CAP_FIELDS):
            body[self.cap_field] = chat.output_cap
        body["model"] = target.provider_model
        if chat.stream:
            body["stream_options"] = {**(chat.body.get("stream_options") or {}), "include_usage": True}
        return body


def address(endpoint: str) -> str:
    """An endpoint may leave out its version, and may be the whole address."""
    at = endpoint.rstrip("/")
    if at.endswith(PATH):
        return at
    return f"{at}{PATH}" if VERSION.search(at) else f"{at}/v1{PATH}"


def messages_of(choices: list[Any]) -> list[Any]:
    return [choice.get("message") for choice in choices if isinstance(choice, dict)]


def written(answer: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(answer)
    except TypeError:
        raise ValueError("nested too deeply") from None
