"""The rules of a credential."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.credential.events import SecretSource
from domain.state import Kind


class Status(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    name: str
    credential_type: str
    secret: SecretSource
    endpoint: str | None
    deployment: str | None
    header_value: str | None
    status: Status
    created_at: datetime
    updated_at: datetime
    readable: bool = True


CREDENTIALS: Final = Kind[str, Credential]("credential")
