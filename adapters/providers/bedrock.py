"""AWS Bedrock: Converse and ConverseStream, for any model that it has."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

import orjson

from adapters.providers.anthropic_answer import completion_of
from adapters.providers.anthropic_usage import categories
from adapters.providers.bedrock_answer import message_of
from adapters.providers.bedrock_failures import failure_of_answer
from adapters.providers.bedrock_request import converse_of
from adapters.providers.bedrock_signing import REGION_DEFAULT, access, authorized
from adapters.providers.bedrock_stream import BedrockStream
from adapters.providers.openai import written
from adapters.providers.openai_usage import tokens_seen, verbatim
from adapters.providers.unsupported import Unsupported
from application.ports import Answered, ChatCall, ProviderFailure, Target, WireRequest
from domain.errors import Invalid

OPERATIONS: Final = {False: "converse", True: "converse-stream"}
REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d")
DOMAINS: Final = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}
"""Where it isn't amazonaws.com."""
UNQUOTED: Final = "-._~"
"""Of a model's id, which may be an ARN: all else is escaped, and the signature covers the escapes. It is what botocore does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedrock:
    now: Callable[[], datetime]
    """A signature is dated."""
    answer_id: Callable[[], str]
    """Converse's answers have none."""

    def request(self, chat: ChatCall, target: Target) -> WireRequest:
        granted = access(target.secret)
        unsupported = Unsupported(drop=target.drop_unsupported)
        body = _written(converse_of(chat, target, unsupported))
        url = f"{address(target.endpoint, granted.region)}/model/{quote(target.provider_model, safe=UNQUOTED)}/{OPERATIONS[chat.stream]}"
        headers = authorized(url, {"Content-Type": "application/json"}, body, granted, self.now())
        return WireRequest(url=url, headers=headers, body=body, signed=True, dropped=unsupported.dropped)

    def answer(self, body: bytes, target: Target) -> Answered:
        converse = orjson.loads(body)
        message = message_of(converse, self.answer_id())
        usage = categories(message["usage"])
        return Answered(
            body=written(completion_of(message, target)),
            usage=usage,
            raw_usage=None if usage is None else verbatim(converse["usage"]),
            output_tokens_seen=tokens_seen(message["content"]) if usage is None else 0,
        )

    def failure(self, status: int, headers: dict[str, str], body: bytes) -> ProviderFailure:
        return failure_of_answer(status, headers, body)

    def stream(self, target: Target, *, include_usage: bool) -> BedrockStream:
        return BedrockStream(target, self.answer_id(), include_usage=include_usage)


def address(endpoint: str | None, region: str | None) -> str:
    """An endpoint is a region or an address; without one, the region is the credential's."""
    at = endpoint or region or REGION_DEFAULT
    if REGION.fullmatch(at):
        domain = next((domain for begins, domain in DOMAINS.items() if at.startswith(begins)), "amazonaws.com")
        return f"https://bedrock-runtime.{at}.{domain}"
    parts = urlsplit(at)
    return f"{parts.scheme}://{parts.netloc}{quote(parts.path.rstrip('/'), safe=f'/%{UNQUOTED}')}"


def _written(request: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(request)
    except TypeError:
        raise Invalid("The request is nested too deeply.") from None
