"""What can happen to the records of usage. Stored: add fields with defaults, never rename or remove."""

from datetime import datetime
from typing import ClassVar

from domain.kernel import Event


class UsageDeleted(Event):
    topic: ClassVar[str] = "usage.deleted.v1"

    before: datetime
    since: datetime | None = None
    """What ended before it was deleted already."""
