"""What can be asked of an end user."""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from domain.ids import EndUserId
from domain.kernel import Command, Sought
from domain.references import END_USER
from domain.text import Text

VALUE_CHARACTERS_MAX: Final = 512

HMAC: Final = r"^[0-9a-f]{64}$"


class IdentifyEndUser(Command):
    """From now on this person has this reference, unless they have one."""

    opens: ClassVar[bool] = True

    reference: EndUserId
    value: Annotated[Text, Field(min_length=1, max_length=VALUE_CHARACTERS_MAX)]
    """As the client names them."""
    hmac: str = Field(pattern=HMAC)
    """Of the value, hexadecimal, under a key of the organisation's own."""

    @property
    def seeks(self) -> Sought:
        return Sought(END_USER, self.hmac)


class EraseEndUser(Command):
    """Forget who it is."""

    reference: EndUserId
