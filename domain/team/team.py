"""The rules of a team."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.state import Kind

ADMINISTRATORS: Final = "administrators"


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    name: str
    description: str | None
    status: Status
    created_at: datetime
    updated_at: datetime
    readable: bool = True
    """False once an event stood on it that this process can't read: admissions that touch it get 503."""


TEAMS: Final = Kind[str, Team]("team")
