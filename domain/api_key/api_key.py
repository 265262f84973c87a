"""The rules of an API key."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.api_key.events import Permissions, RateLimits
from domain.state import Kind


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
