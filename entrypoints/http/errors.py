"""Every error in OpenAI's envelope: one table from kinds of refusal to statuses, and the middleware that applies it."""

import logging
import math
import traceback
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from domain.errors import (
    BudgetExceeded,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Refusal,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)
from entrypoints.http.headers import request_id
from entrypoints.http.keys import ANSWER_BEGUN

log = logging.getLogger(__name__)

KINDS: Final[dict[type[Refusal], tuple[int, str]]] = {
    Invalid: (400, "invalid_request_error"),
    Unauthenticated: (401, "authentication_error"),
    Forbidden: (403, "permission_error"),
    NotFound: (404, "not_found_error"),
    Conflict: (409, "invalid_request_error"),
    VersionMismatch: (412, "invalid_request_error"),
    BudgetExceeded: (429, "insufficient_quota"),
    RateLimited: (429, "rate_limit_error"),
    Unavailable: (503, "service_unavailable_error"),
}

SERVER_ERROR: Final = "The gateway failed on this request. The failure is in its log under the request id."

OF_THE_PROTOCOL: Final[dict[int, tuple[str, str]]] = {
    404: ("not_found_error", "There is nothing at this path."),
    405: ("invalid_request_error", "This path does not take this method."),
    413: ("invalid_request_error", "The body is too large."),
    415: ("invalid_request_error", "The body must be JSON: send it with Content-Type: application/json."),
}
"""What aiohttp refuses by itself. Its own texts name its internals."""


class ErrorAnswer(NamedTuple):
    """An error as the client sees it: the same for an answer and for an event in a stream."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = {}

    def body(self) -> bytes:
        return orjson.dumps({"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}})

    def response(self) -> web.Response:
        return web.Response(status=self.status, body=self.body(), content_type="application/json", headers=self.headers)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is raised becomes an answer, unless one has begun: then the connection is cut, so that nobody takes half for whole.

    A cancelled handler (its client has gone) stays cancelled.
    """
    try:
        return await handler(request)
    except web.HTTPException as raised:
        if request.get(ANSWER_BEGUN) or raised.status < 400:
            raise
        return of_protocol(raised).response()
    except Exception as error:
        if request.get(ANSWER_BEGUN):
            if not isinstance(error, ConnectionError):  # the client's doing
                note_failure(error, request)
            raise
        return error_answer(error, request).response()


def error_answer(error: Exception, request: web.Request) -> ErrorAnswer:
    match error:
        case Refusal():
            return of_refusal(error)
        case ValidationError():
            return of_refusal(invalid_field(error))
    note_failure(error, request)
    return ErrorAnswer(500, SERVER_ERROR, "server_error")


def of_refusal(refusal: Refusal) -> ErrorAnswer:
    status, kind = next(KINDS[cls] for cls in type(refusal).__mro__ if cls in KINDS)
    return ErrorAnswer(status, refusal.message, kind, refusal.param, refusal.code, _headers(refusal))


def of_protocol(raised: web.HTTPException) -> ErrorAnswer:
    kind, message = OF_THE_PROTOCOL.get(raised.status, ("invalid_request_error", raised.reason))
    headers = {"Allow": raised.headers["Allow"]} if "Allow" in raised.headers else {}
    return ErrorAnswer(raised.status, message, kind, headers=headers)


def invalid_field(error: ValidationError, wire_names: Mapping[str, str] | None = None) -> Invalid:
    """The first thing wrong, by its name on the wire ("": it has none, its parts have). What was sent is not repeated."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = [str(part) for part in first["loc"]]
    if names and (on_the_wire := (wire_names or {}).get(names[0])) is not None:
        names[:1] = [on_the_wire] if on_the_wire else []
    names = names or ["body"]
    return Invalid(f"{'.'.join(names)}: {first['msg'].removeprefix('Value error, ')}", param=names[0])


def malformed_json(message: str = "The body is not valid JSON") -> Invalid:
    return Invalid(message, code="json_parse_error")


def note_failure(error: Exception, request: web.Request) -> None:
    """Where it failed, without the error's own text: that may quote what the client sent."""
    where = "".join(traceback.format_tb(error.__traceback__))
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else "(no route)"
    log.error("%s while answering %s %s\n%s", type(error).__name__, request.method, path, where, extra={"request_id": request_id(request)})


def _headers(refusal: Refusal) -> dict[str, str]:
    match refusal:
        case BudgetExceeded() | Conflict():  # SDKs repeat a 409 by themselves
            return {"x-should-retry": "false"}
        case RateLimited(retry_after=retry_after) | Unavailable(retry_after=retry_after):
            return {"Retry-After": whole_seconds(retry_after)}
    return {}


def whole_seconds(wait: timedelta) -> str:
    return str(max(1, math.ceil(wait.total_seconds())))
