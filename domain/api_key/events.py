"""What can happen to an API key. Stored: add fields with defaults, never rename or remove."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from domain.ids import TeamId
from domain.kernel import Event, Value


class Specific(Value):
    """Just these ids."""

    specific: frozenset[str]


Permitted = Literal["all", "none"] | Specific


class Permissions(Value):
    """What a key may use."""

    admin: bool = False
    models: Permitted = "all"
    knowledge_bases: Permitted = "all"
    prompts: Permitted = "all"
    chains: Permitted = "all"


class RateLimits(Value):
    """At most so many; None: no limit."""

    requests_per_minute: int | None = Field(None, ge=1)
    requests_per_hour: int | None = Field(None, ge=1)
    requests_per_day: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    parallel_requests: int | None = Field(None, ge=1)


class ApiKeyIssued(Event):
    topic: ClassVar[str] = "api_key.issued.v1"

    name: str
    team_id: TeamId
    key_prefix: str
    secret_sha256: str
    """Hexadecimal."""
    permissions: Permissions
    rate_limits: RateLimits = RateLimits()
    description: str | None = None
    expires_at: datetime | None = None
    tags: dict[str, str] = {}


class ApiKeyPermissionsChanged(Event):
    topic: ClassVar[str] = "api_key.permissions_changed.v1"

    permissions: Permissions


class ApiKeyRateLimitsChanged(Event):
    topic: ClassVar[str] = "api_key.rate_limits_changed.v1"

    rate_limits: RateLimits


class ApiKeyExpiryChanged(Event):
    topic: ClassVar[str] = "api_key.expiry_changed.v1"

    expires_at: datetime | None


class ApiKeyDescribed(Event):
    """Name, description and tags: what people see, none of which decides anything."""

    topic: ClassVar[str] = "api_key.described.v1"

    name: str
    description: str | None = None
    tags: dict[str, str] = {}


class ApiKeySuspended(Event):
    topic: ClassVar[str] = "api_key.suspended.v1"


class ApiKeyActivated(Event):
    topic: ClassVar[str] = "api_key.activated.v1"


class ApiKeyRevoked(Event):
    topic: ClassVar[str] = "api_key.revoked.v1"


class ApiKeyDeleted(Event):
    topic: ClassVar[str] = "api_key.deleted.v1"
