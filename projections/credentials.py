"""Credentials as administrators see them: where each secret is read from, and never what it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.credential.events import (
    CredentialAdded,
    CredentialDeleted,
    CredentialDisabled,
    CredentialEnabled,
    CredentialEndpointChanged,
    CredentialRenamed,
    CredentialSecretChanged,
    SecretSource,
)
from domain.kernel import Event, Recorded
from projections.entities import DELETED, KEY, LIFE, lifecycle, project_entities
from projections.reading import Connection, rows_of
from projections.tables import Cursor, Kinds, Table

NAME: Final = "credentials"
STATUSES: Final[dict[type[Event], str]] = {
    CredentialAdded: "enabled",
    CredentialEnabled: "enabled",
    CredentialDisabled: "disabled",
    CredentialDeleted: DELETED,
}
EVENTS: Final[Kinds] = (*STATUSES, CredentialRenamed, CredentialSecretChanged, CredentialEndpointChanged)

CREDENTIALS: Final = Table(
    "credentials",
    key=KEY,
    values={
        "name": "text",
        "credential_type": "text",
        "secret": "json",
        "endpoint": "text",
        "deployment": "text",
        "header_value": "text",
        **LIFE,
    },
)
TABLES: Final = (CREDENTIALS,)

FOLD: Final = lifecycle(CredentialAdded, STATUSES)


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    project_entities(CREDENTIALS, FOLD, batch, cursor)


class Credential(NamedTuple):
    id: str
    name: str
    credential_type: str
    secret: SecretSource
    endpoint: str | None
    deployment: str | None
    header_value: str | None
    status: str
    created_at: datetime
    updated_at: datetime
    version: int


async def select(connection: Connection, org: str, credential_id: str | None = None) -> list[Credential]:
    """All, or one."""
    found = await rows_of(connection, CREDENTIALS, Credential, org, credential_id)
    return [each._replace(secret=SecretSource.model_validate(each.secret)) for each in found]
