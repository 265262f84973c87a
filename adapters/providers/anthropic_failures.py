"""Anthropic's errors as a client may see them, in OpenAI's envelope."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from adapters.providers.failures import failure_of
from application.ports import ProviderFailure

STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Of errors within a stream, which have no status of their own."""
CREDENTIAL_REFUSED: Final = 401

OPERATORS: Final = re.compile(r"credit balance|usage limits?|spend limit|billing|has been disabled", re.IGNORECASE)
OPERATORS_CODES: Final = re.compile(r"spend_limit|on_hold|billing|cmek|organization|workspace")
"""Some bad requests are about the account, which is none of the client's business."""
TOO_LONG: Final = re.compile(r"prompt is too long|exceeds? (?:the )?context (?:limit|window)", re.IGNORECASE)
CONTEXT_LENGTH: Final = "context_length_exceeded"

PLACE: Final = re.compile(r"[`'\"]?([a-z_]+)(?:[.\[][\w.\[\]]*)?[`'\"]?(?::| is | must | cannot | may )")
"""Messages begin with the field that they are about: `messages.0.content: …`."""
PARAMS: Final = {
    **{name: name for name in ("model", "messages", "max_tokens", "temperature", "top_p", "top_k", "tools", "tool_choice", "service_tier")},
    "system": "messages",
    "stop_sequences": "stop",
    "thinking": "reasoning_effort",
    "output_config": "response_format",
    "metadata": "user",
}
"""What the client calls them."""


def failure_of_anthropic(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    error = _error(body)
    message = error.get("message")
    said = message if isinstance(message, str) else ""
    if status == 402 or (status == 400 and _is_the_operators(error, said)):
        status = CREDENTIAL_REFUSED
    envelope = {"message": said, "code": CONTEXT_LENGTH if TOO_LONG.search(said) else None, "param": _param(said)}
    return failure_of(status, headers, orjson.dumps({"error": envelope}))


def failure_in_stream_of_anthropic(error: Any) -> ProviderFailure:
    kind = error.get("type") if isinstance(error, dict) else None
    status = STATUSES.get(kind, 500) if isinstance(kind, str) else 500
    return failure_of_anthropic(status, {}, orjson.dumps({"error": error}))


def _error(body: bytes) -> dict[str, Any]:
    try:
        match orjson.loads(body):
            case {"error": dict() as error}:
                return error
            case {"message": str()} as error:
                return dict(error)
    except ValueError:
        pass
    return {}


def _is_the_operators(error: dict[str, Any], message: str) -> bool:
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return bool(OPERATORS.search(message) or (isinstance(code, str) and OPERATORS_CODES.search(code)))


def _param(message: str) -> str | None:
    if TOO_LONG.search(message):
        return "messages"
    place = PLACE.match(message)
    return None if place is None else PARAMS.get(place[1])
