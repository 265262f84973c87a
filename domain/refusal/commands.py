"""What can be asked of a report of refusals."""

from pydantic import Field

from domain.ids import ApiKeyId, RefusalId
from domain.kernel import Command
from domain.text import Name, Reference


class RecordRefusals(Command):
    """Asked again under the same id, it is recorded once. (So its stream is read, though its id was just minted.)"""

    refusal_id: RefusalId
    api_key_id: ApiKeyId | None
    rule: Name
    count: int = Field(ge=1)
    window_s: int = Field(ge=0)
    first_request_id: Reference
