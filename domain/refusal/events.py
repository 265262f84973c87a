"""What can happen to a report of refusals. Stored: add fields with defaults, never rename or remove."""

from typing import ClassVar

from domain.ids import ApiKeyId
from domain.kernel import Event


class AdmissionsRefused(Event):
    topic: ClassVar[str] = "refusal.recorded.v1"

    api_key_id: ApiKeyId | None
    """None: no key that is known, or one of so many that they were no longer told apart."""
    rule: str
    """What refused: a limit of the key, or the code that the client was answered with."""
    count: int
    window_s: int
    """The time in which they came; 0 for the first one, which is told at once."""
    first_request_id: str
