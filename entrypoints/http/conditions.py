"""What a request says about when it may be done: Idempotency-Key (once) and If-Match (only on the version that was seen)."""

import hmac
import re
from typing import Final

from aiohttp import hdrs, web

from application.ports import Idempotency
from domain.errors import Invalid
from entrypoints.http.keys import DIGEST_KEY

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IDEMPOTENCY_KEY_LENGTH_MAX: Final = 255
DIGESTED_BYTES_MAX: Final = 1024 * 1024
"""About a millisecond."""
ENTITY_TAG: Final = re.compile(r'"(\d{1,18})"', re.ASCII)


async def idempotency(request: web.Request, by: str, step: str = "") -> Idempotency | None:
    """Of a POST that has an Idempotency-Key. Each asker has keys of their own, and so has each further `step` of a request."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None or request.method != hdrs.METH_POST:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX:
        raise Invalid(f"{IDEMPOTENCY_KEY} must have 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} characters", param=IDEMPOTENCY_KEY)
    secret = request.app[DIGEST_KEY]
    whose = f"{by}\n{step}\n{key}".encode("utf-8", "surrogateescape")
    return Idempotency(key=_hmac(secret, whose), digest=_digest(request, await request.read()))


async def request_digest(request: web.Request) -> bytes | None:
    """What an idempotency key would stand for, of a request that has none; None: it is too large to be digested in passing."""
    body = await request.read()
    return _digest(request, body) if len(body) <= DIGESTED_BYTES_MAX else None


def expected_version(request: web.Request) -> int | None:
    """The version in If-Match; `*` and an absent header accept any."""
    tag = request.headers.get(hdrs.IF_MATCH, "*").strip()
    if tag == "*":
        return None
    if (version := ENTITY_TAG.fullmatch(tag)) is None:
        raise Invalid('If-Match must be one entity tag as ETag gave it, such as "3"', param=hdrs.IF_MATCH)
    return int(version[1])


def entity_tag(version: int) -> str:
    return f'"{version}"'


def _digest(request: web.Request, body: bytes) -> bytes:
    return _hmac(request.app[DIGEST_KEY], f"{request.method} {request.raw_path}\n".encode("utf-8", "surrogateescape") + body)


def _hmac(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, "sha256")
