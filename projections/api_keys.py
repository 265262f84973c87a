"""API keys as administrators see them, and when each was last used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.api_key.events import (
    ApiKeyActivated,
    ApiKeyDeleted,
    ApiKeyDescribed,
    ApiKeyExpiryChanged,
    ApiKeyIssued,
    ApiKeyPermissionsChanged,
    ApiKeyRateLimitsChanged,
    ApiKeyRevoked,
    ApiKeySuspended,
)
from domain.completion.events import CompletionAdmitted, CompletionReadmitted
from domain.kernel import Event, Recorded
from projections.entities import DELETED, KEY, LIFE, lifecycle, project_entities
from projections.reading import Connection, fetched
from projections.tables import Cursor, Key, Kinds, Row, Table

NAME: Final = "api_keys"
STATUSES: Final[dict[type[Event], str]] = {
    ApiKeyIssued: "active",
    ApiKeySuspended: "suspended",
    ApiKeyActivated: "active",
    ApiKeyRevoked: "revoked",
    ApiKeyDeleted: DELETED,
}
USES: Final = (CompletionAdmitted, CompletionReadmitted)
EVENTS: Final[Kinds] = (*STATUSES, ApiKeyPermissionsChanged, ApiKeyRateLimitsChanged, ApiKeyExpiryChanged, ApiKeyDescribed, *USES)

API_KEYS: Final = Table(
    "api_keys",
    key=KEY,
    values={
        "name": "text",
        "team_id": "text",
        "description": "text",
        "key_prefix": "text",
        "permissions": "json",
        "rate_limits": "json",
        "tags": "json",
        "expires_at": "timestamptz",
        **LIFE,
    },
)
USED: Final = Table("api_keys_used", key=KEY, values={"last_used_at": "timestamptz"})
"""Apart, since it changes with every request."""
TABLES: Final = (API_KEYS, USED)

FOLD: Final = lifecycle(ApiKeyIssued, STATUSES)


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    project_entities(API_KEYS, FOLD, [recorded for recorded in batch if not isinstance(recorded.event, USES)], cursor)
    used: dict[Key, Row] = {}
    for recorded in batch:
        match recorded.event:
            case CompletionAdmitted(api_key_id=api_key_id) | CompletionReadmitted(admitted=CompletionAdmitted(api_key_id=api_key_id)):
                used[recorded.org, api_key_id] = {"last_used_at": recorded.at}
    USED.save(cursor, used)


class ApiKey(NamedTuple):
    id: str
    name: str
    team_id: str
    description: str | None
    key_prefix: str
    permissions: dict[str, Any]
    rate_limits: dict[str, int | None]
    tags: dict[str, str]
    status: str
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    last_used_at: datetime | None


SELECT: Final = f"""
SELECT {", ".join(ApiKey._fields)} FROM api_keys LEFT JOIN api_keys_used USING (org, id)
WHERE org = %(org)s AND status <> '{DELETED}' AND (%(id)s::text IS NULL OR id = %(id)s) ORDER BY id COLLATE "C"
"""  # noqa: S608


async def select(connection: Connection, org: str, api_key_id: str | None = None) -> list[ApiKey]:
    """All, or one."""
    return await fetched(connection, ApiKey, SELECT, {"org": org, "id": api_key_id})
