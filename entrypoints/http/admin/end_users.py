"""/admin/end-users: by which reference the log knows a person, and forgetting who they are."""

from typing import Final

from aiohttp import web

from application.end_users import end_user
from domain.end_user.commands import VALUE_CHARACTERS_MAX, EraseEndUser
from domain.errors import Invalid, NotFound
from domain.ids import ORG_DEFAULT
from entrypoints.http.authentication import asker
from entrypoints.http.keys import DIGEST_KEY, EVENTS
from entrypoints.http.routing import of_commit, submit
from entrypoints.http.wire import answer, checked


async def find(request: web.Request) -> web.Response:
    """By what a client sends as `safety_identifier` or `user`."""
    await asker(request)
    value = request.query.get("value", "")
    if not 1 <= len(value) <= VALUE_CHARACTERS_MAX:
        raise Invalid(f"value: must have 1 to {VALUE_CHARACTERS_MAX} characters", param="value")
    who = end_user(request.app[DIGEST_KEY], ORG_DEFAULT, value)
    reference = await request.app[EVENTS].reference(who.sought)
    if reference is None:
        raise NotFound("There is no end user of this value")
    return answer({"reference": reference})


async def erase(request: web.Request) -> web.Response:
    who = await asker(request)
    asked = checked(EraseEndUser, request.match_info)
    done = await submit(request, who, asked)
    return answer({"deleted": True, "reference": asked.reference}, headers=of_commit(done))


ROUTES: Final = (
    web.get("/admin/end-users", find),
    web.delete("/admin/end-users/{reference}", erase),
)
