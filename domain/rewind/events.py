"""What can happen to a rewind. Stored: add fields with defaults, never rename or remove."""

from typing import ClassVar

from domain.kernel import Event


class LogRewound(Event):
    topic: ClassVar[str] = "rewind.noticed.v1"

    lost_position: int
    """The furthest position that the noticing process had folded."""
    lost_hash: str
    """Hexadecimal: the hash that stood there."""
