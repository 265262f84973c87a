"""Asking Anthropic's translator, as the gateway does, and checking what it writes against the types of Anthropic's own SDK."""

from typing import Any

import orjson
import pytest
from anthropic.types.content_block_param import ContentBlockParam
from anthropic.types.message_create_params import MessageCreateParamsBase
from pydantic import TypeAdapter

from adapters.providers import PROVIDERS
from application.ports import ChatCall, Target, WireRequest
from domain.errors import Invalid
from entrypoints.http.chat_request import parse

ANTHROPIC = PROVIDERS["anthropic"]
HELLO = [{"role": "user", "content": "hello"}]
TURN = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
BLOCK: TypeAdapter[ContentBlockParam] = TypeAdapter(ContentBlockParam)
MARK = {"type": "ephemeral", "ttl": "1h"}


def target(**changes: Any) -> Target:
    theirs = {"provider_model": "claude-sonnet-4-5", "endpoint": "http://there", "secret": "sk-ant-1"}
    return Target(**{"model_id": "mine", "defaults": {}, **theirs, **changes})


def requested(body: dict[str, Any], *, stream: bool = False, output_cap: int = 99, **changes: Any) -> WireRequest:
    """Only what the gateway lets through reaches a provider."""
    body = parse(orjson.dumps({"model": "mine", "messages": HELLO, **body})).body
    return ANTHROPIC.request(ChatCall(body=body, output_cap=output_cap, stream=stream), target(**changes))


def sent(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    written: dict[str, Any] = orjson.loads(requested(body, **changes).body)
    assert written.keys() <= MessageCreateParamsBase.__annotations__.keys() | {"stream", "top_p", "top_k", "temperature"}
    for turn in written["messages"]:
        for block in turn["content"]:
            BLOCK.validate_python(block)
    return written


def turns(*messages: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = sent({"messages": list(messages)}, **changes)["messages"]
    return said


def refused(body: dict[str, Any], **changes: Any) -> Invalid:
    with pytest.raises(Invalid) as raised:
        requested(body, **changes)
    assert raised.value.param is not None
    assert raised.value.param in raised.value.message
    return raised.value


def user(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts), **more}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}
