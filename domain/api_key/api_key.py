"""The rules of an API key."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from domain.api_key.commands import ActivateApiKey, ChangeApiKey, DeleteApiKey, IssueApiKey, RevokeApiKey, SuspendApiKey
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
    Permissions,
    RateLimits,
)
from domain.change import facts, said
from domain.errors import Conflict, Invalid, NotFound, Unreadable
from domain.kernel import Decider, Event, Recorded, UnknownEvent
from domain.state import Kind

FACTS: Final = (ApiKeyPermissionsChanged, ApiKeyRateLimitsChanged, ApiKeyExpiryChanged, ApiKeyDescribed)
"""Each says anew what its fields, which are the key's own, are."""


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    name: str
    team_id: str
    description: str | None
    key_prefix: str
    secret_sha256: str
    permissions: Permissions
    rate_limits: RateLimits
    expires_at: datetime | None
    tags: dict[str, str]
    status: Status
    created_at: datetime
    updated_at: datetime
    readable: bool = True

    def expired(self, at: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at


API_KEYS: Final = Kind[str, ApiKey]("api-key")

ApiKeyCommand = IssueApiKey | ChangeApiKey | SuspendApiKey | ActivateApiKey | RevokeApiKey | DeleteApiKey


def decide(command: ApiKeyCommand, key: ApiKey | None, now: datetime) -> Iterator[Event]:
    match command, key:
        case _, ApiKey(readable=False):
            raise Unreadable
        case IssueApiKey(), None | ApiKey(status=Status.DELETED):
            yield ApiKeyIssued(**{name: value for name, value in command if name != "api_key_id"})
        case IssueApiKey(), _:
            raise Conflict(f"API key {command.api_key_id} already exists", param="id")
        case _, None | ApiKey(status=Status.DELETED):
            raise NotFound(f"There is no API key {command.api_key_id}")
        case ChangeApiKey(), ApiKey():
            changed = replace(key, **said(command, but=("api_key_id",), clearable=("expires_at",)))
            yield from facts(FACTS, key, changed)
        case _, ApiKey():
            yield from _decide_on_status(command, key)


def _decide_on_status(command: ApiKeyCommand, key: ApiKey) -> Iterator[Event]:
    match command, key.status:
        case DeleteApiKey(), _:
            yield ApiKeyDeleted()
        case RevokeApiKey(), Status.ACTIVE | Status.SUSPENDED:
            yield ApiKeyRevoked()
        case SuspendApiKey(), Status.ACTIVE:
            yield ApiKeySuspended()
        case SuspendApiKey(), Status.REVOKED:
            raise Invalid(f"API key {command.api_key_id} is revoked and can't be suspended")
        case ActivateApiKey(), Status.SUSPENDED:
            yield ApiKeyActivated()
        case ActivateApiKey(), _:
            raise Invalid(f"Only a suspended API key can be activated; API key {command.api_key_id} is {key.status}")


def evolve(key: ApiKey | None, recorded: Recorded[Any]) -> ApiKey | None:
    match recorded.event, key:
        case ApiKeyIssued() as issued, _:
            return replace(_blank(recorded.at), **dict(issued), readable=key is None or key.readable)
        case UnknownEvent(), _:
            return replace(key or _blank(recorded.at), readable=False, updated_at=recorded.at)
        case event, ApiKey(status=Status.ACTIVE | Status.SUSPENDED | Status.REVOKED) if changes := _changes(event):
            return replace(key, updated_at=recorded.at, **changes)
    return key


def _blank(at: datetime) -> ApiKey:
    return ApiKey(
        name="",
        team_id="",
        description=None,
        key_prefix="",
        secret_sha256="",
        permissions=Permissions(models="none", knowledge_bases="none", prompts="none", chains="none"),
        rate_limits=RateLimits(),
        expires_at=None,
        tags={},
        status=Status.ACTIVE,
        created_at=at,
        updated_at=at,
    )


def _changes(event: Event) -> dict[str, Any]:
    match event:
        case ApiKeySuspended():
            return {"status": Status.SUSPENDED}
        case ApiKeyActivated():
            return {"status": Status.ACTIVE}
        case ApiKeyRevoked():
            return {"status": Status.REVOKED}
        case ApiKeyDeleted():
            return {"status": Status.DELETED}
    return dict(event) if type(event) in FACTS else {}


decider = Decider[ApiKey](
    category="api-key",
    identity="api_key_id",
    kind=API_KEYS,
    commands=(IssueApiKey, ChangeApiKey, SuspendApiKey, ActivateApiKey, RevokeApiKey, DeleteApiKey),
    events=(ApiKeyIssued, *FACTS, ApiKeySuspended, ApiKeyActivated, ApiKeyRevoked, ApiKeyDeleted),
    decide=decide,
    evolve=evolve,
)
