"""Bedrock's errors, by their names, as a client may see them: no accounts, no ARNs, no names of the provider's."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from adapters.providers.failures import failure_of
from application.ports import ProviderFailure

STATUSES: Final = {
    "ValidationException": 400,
    "SerializationException": 400,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 403,
    "ExpiredTokenException": 403,
    "InvalidSignatureException": 403,
    "IncompleteSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ServiceQuotaExceededException": 429,
    "InternalServerException": 500,
    "ModelErrorException": 500,
    "ModelStreamErrorException": 500,
    "ModelNotReadyException": 503,
    "ServiceUnavailableException": 503,
}
"""As `failures` knows them. Where Bedrock's own differ: a quota is no bad request, and a model that isn't ready is down."""

THE_OPERATORS: Final = re.compile(r"model identifier|on-demand throughput|inference profile|model id\b", re.IGNORECASE)
"""A ValidationException that no client can do anything about: the model is set up wrongly here."""
TOO_LONG: Final = re.compile(
    r"too long|too many (?:input )?tokens|context (?:length|window)|maximum number of (?:input )?tokens", re.IGNORECASE
)
PRIVATE: Final = re.compile(r"arn:[^\s\"',)]+|\b\d{12}\b|\b(?:AKIA|ASIA)[A-Z0-9]+\b")
"""Resources, accounts, and the names of keys."""


def failure_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    said = _json(body)
    name = headers.get("x-amzn-errortype") or said.get("__type")
    return _failure(_bare(name), status, headers, said)


def failure_of_event(name: str, payload: bytes) -> ProviderFailure:
    """From an exception in a stream; there its name begins with a small letter."""
    return _failure(_bare(name[:1].upper() + name[1:]), 500, {}, _json(payload))


def _failure(name: str, status: int, headers: Mapping[str, str], said: dict[str, Any]) -> ProviderFailure:
    theirs = STATUSES.get(name, status)
    message = said.get("message") or said.get("Message")
    message = PRIVATE.sub("***", message) if isinstance(message, str) else ""
    if theirs == STATUSES["ValidationException"] and THE_OPERATORS.search(message):
        theirs = STATUSES["ResourceNotFoundException"]
    failure = failure_of(theirs, headers, orjson.dumps({"message": message}))
    too_long = failure.status == STATUSES["ValidationException"] and TOO_LONG.search(message)
    return replace(failure, code="context_length_exceeded", param="messages") if too_long else failure


def _bare(name: Any) -> str:
    """`prefix#Name:http://…` is how services write it."""
    return name.partition(":")[0].rpartition("#")[2] if isinstance(name, str) else ""


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
