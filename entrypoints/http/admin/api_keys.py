"""/admin/api-keys"""

import secrets
from typing import Any, Final

from aiohttp import web

from application.world import World
from domain.api_key.api_key import ApiKey, Status, decider
from domain.api_key.commands import ActivateApiKey, ChangeApiKey, DeleteApiKey, IssueApiKey, RevokeApiKey, SuspendApiKey
from domain.api_key.secret import SECRET_BYTES, digest_of, prefix_of, secret_of
from domain.errors import Invalid
from domain.ids import ORG_DEFAULT
from domain.team.team import ADMINISTRATORS
from entrypoints.http.admin.teams import TEAM
from entrypoints.http.authentication import asker
from entrypoints.http.keys import WORLD
from entrypoints.http.routing import (
    Resource,
    all_of,
    check_named,
    command,
    deleted,
    fields_of,
    one_of,
    query,
    shown_after,
    submit,
    wire_names,
)
from entrypoints.http.wire import Row, checked
from projections import api_keys


def row(world: World, api_key_id: str, key: ApiKey | api_keys.ApiKey) -> Row:
    expired = key.status == Status.ACTIVE and key.expires_at is not None and key.expires_at <= world.clock.now()
    return {
        "id": api_key_id,
        "name": key.name,
        "team_id": key.team_id,
        "description": key.description,
        "key_prefix": key.key_prefix,
        "status": "expired" if expired else key.status,
        "permissions": key.permissions,
        "rate_limits": key.rate_limits,
        "tags": key.tags,
        "last_used_at": key.last_used_at if isinstance(key, api_keys.ApiKey) else None,
        "expires_at": key.expires_at,
        "created_at": key.created_at,
        "updated_at": key.updated_at,
    }


API_KEY: Final = Resource[ApiKey](
    plural="api_keys",
    noun="API key",
    decider=decider,
    row=row,
    exists=lambda key: key.status is not Status.DELETED,
    select=lambda _world, connection, api_key_id: api_keys.select(connection, ORG_DEFAULT, api_key_id),
    clearable=frozenset({"expires_at"}),
)


async def issue(request: web.Request) -> web.Response:
    """The secret is in this answer and nowhere else, so a repeated request is answered without it."""
    who, world = await asker(request), request.app[WORLD]
    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    defaults = {"api_key_id": str(world.clock.uuid7()), "team_id": ADMINISTRATORS}
    ours = {"key_prefix": prefix_of(secret), "secret_sha256": digest_of(secret)}
    asked = checked(IssueApiKey, {**defaults, **await fields_of(request, API_KEY), **ours}, wire_names(API_KEY))
    check_expiry(asked, world)
    await check_named(world, TEAM, asked.team_id, "team_id")
    done = await submit(request, who, asked)
    shown_once: dict[str, Any] = {} if done.repeated else {"secret": secret}
    return shown_after(request, API_KEY, asked, done, lambda *key: row(*key) | shown_once)


async def change(request: web.Request) -> web.Response:
    who = await asker(request)
    asked = checked(ChangeApiKey, {**await fields_of(request, API_KEY), **request.match_info}, wire_names(API_KEY))
    check_expiry(asked, request.app[WORLD])
    return shown_after(request, API_KEY, asked, await submit(request, who, asked))


def check_expiry(asked: IssueApiKey | ChangeApiKey, world: World) -> None:
    if asked.expires_at is not None and asked.expires_at <= world.clock.now():
        raise Invalid("expires_at: must be in the future", param="expires_at")


ROUTES: Final = (
    query("/admin/api-keys", all_of(API_KEY), api_keys),
    query("/admin/api-keys/{api_key_id}", one_of(API_KEY), api_keys),
    web.post("/admin/api-keys", issue),
    web.put("/admin/api-keys/{api_key_id}", change),
    command("DELETE", "/admin/api-keys/{api_key_id}", DeleteApiKey, API_KEY, show=deleted),
    command("POST", "/admin/api-keys/{api_key_id}/suspend", SuspendApiKey, API_KEY),
    command("POST", "/admin/api-keys/{api_key_id}/activate", ActivateApiKey, API_KEY),
    command("POST", "/admin/api-keys/{api_key_id}/revoke", RevokeApiKey, API_KEY),
)
