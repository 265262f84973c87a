"""A provider's errors as a client may see them: their class is kept, and nothing that is the operator's own business."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from application.ports import ProviderFailure

MESSAGE_LENGTH_MAX: Final = 2_000
WORD_LENGTH_MAX: Final = 100
RETRY_AFTER: Final = re.compile(r"[A-Za-z0-9 ,:.]{1,40}", re.ASCII)

STATUSES: Final = {400: 400, 408: 504, 413: 413, 422: 400, 429: 429, 503: 503, 504: 504, 529: 503}
"""Whatever else a provider answers is a bad gateway."""
TYPES: Final = {
    400: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    502: "server_error",
    503: "service_unavailable_error",
    504: "server_error",
}
CONTENT_FILTER: Final = "content_filter"
"""What the client asked for was refused, whatever type the error has."""
RETRIED_LATER: Final = frozenset({429, 503})
THE_CLIENTS_OWN: Final = frozenset({400, 413})
"""Our statuses for which the provider's own words are passed on: they say what to change."""
MESSAGES: Final = {
    401: ("The provider did not accept the gateway's credential.", "provider_credential_refused"),
    403: ("The provider did not accept the gateway's credential.", "provider_credential_refused"),
    404: ("The provider does not know the model behind this one.", "provider_model_not_found"),
    408: ("The provider took too long to answer.", "provider_timeout"),
    429: ("The provider's rate limit is reached. Try again later.", "rate_limit_exceeded"),
    503: ("The provider is overloaded or down. Try again later.", "provider_unavailable"),
    504: ("The provider took too long to answer.", "provider_timeout"),
    529: ("The provider is overloaded or down. Try again later.", "provider_unavailable"),
}
FAILED: Final = ("The provider failed on this request.", "provider_error")

UNREADABLE: Final = ProviderFailure(502, "The provider's answer can't be read.", TYPES[502], "provider_error")


def failure_of(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    """From an answer in OpenAI's envelope, or anything else."""
    ours = STATUSES.get(status, 502)
    if ours in THE_CLIENTS_OWN:
        said = _envelope(body)
        message = _first_line(said.get("message")) or "The provider refused this request."
        return ProviderFailure(ours, message, TYPES[ours], _word(said.get("code")), _word(said.get("param")))
    message, code = MESSAGES.get(status, FAILED)
    return ProviderFailure(ours, message, TYPES[ours], code, retry_after=_retry_after(headers) if ours in RETRIED_LATER else None)


def failure_in_stream(error: Any) -> ProviderFailure:
    """From an error event: a status may stand in its code."""
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code) in ("429", "503", "504", "529") else 502
    if isinstance(error, dict) and (error.get("type") == "invalid_request_error" or code == CONTENT_FILTER):
        status = 400
    return failure_of(status, {}, orjson.dumps({"error": error}))


def _envelope(body: bytes) -> dict[str, Any]:
    """`{"error": {...}}`, `{"error": "text"}` or `{"message": ...}`."""
    try:
        said = orjson.loads(body)
    except ValueError:
        return {}
    match said:
        case {"error": dict() as error}:
            return error
        case {"error": str() as text}:
            return {"message": text}
        case dict():
            return said
    return {}


def _first_line(text: Any) -> str:
    """The rest may be a stack trace."""
    return text.strip().partition("\n")[0][:MESSAGE_LENGTH_MAX] if isinstance(text, str) else ""


def _word(value: Any) -> str | None:
    return value[:WORD_LENGTH_MAX] if isinstance(value, str) and value else None


def _retry_after(headers: Mapping[str, str]) -> str | None:
    value = headers.get("retry-after", "")
    return value if RETRY_AFTER.fullmatch(value) else None
