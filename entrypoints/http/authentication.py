"""Who is asking: a client key for /v1, and for /admin a key with the admin right. Sessions of users can join in `asker`."""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from application.freshness import confirmed
from domain.admission.directory import Caller, authenticate
from domain.api_key.secret import digest_of
from domain.errors import Forbidden, Unauthenticated
from entrypoints.http.keys import CALLER, WORLD

SECRET: Final = re.compile(r"pk_(?:test|live)_[A-Za-z0-9_-]{8,256}", re.ASCII)
SCHEME: Final = "bearer "

MISSING: Final = "No API key was given. Send it as a header: Authorization: Bearer <key>."
INCORRECT: Final = "Incorrect API key provided."


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who may administer; `by` is who the log says it was."""

    by: str


async def client(request: web.Request) -> Caller:
    """The key that asks. A refusal is given only after the log has been read to its end; an ill-formed key is refused at once."""
    world = request.app[WORLD]
    secret = _secret(request)
    if not SECRET.fullmatch(secret):
        raise Unauthenticated(INCORRECT if secret else MISSING)
    digest = digest_of(secret)
    caller = await confirmed(world.log, lambda: authenticate(world.log.view, digest, world.clock.now()))
    request[CALLER] = caller
    return caller


async def asker(request: web.Request) -> Asker:
    caller = await client(request)
    if not caller.admin:
        raise Forbidden("This API key does not have the admin permission")
    return Asker(by=f"key:{caller.api_key_id}")


def _secret(request: web.Request) -> str:
    """A Bearer header wins over X-API-Key; any other scheme counts as no key."""
    authorization = request.headers.get(hdrs.AUTHORIZATION, "")
    if authorization[: len(SCHEME)].lower() == SCHEME:
        return authorization[len(SCHEME) :].strip()
    return request.headers.get("X-API-Key", "").strip()
