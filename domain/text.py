"""What people write about things: bounded, so that no event grows with it. Commands ask for these; stored events stay tolerant."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

NAME_CHARACTERS_MAX: Final = 100
DESCRIPTION_CHARACTERS_MAX: Final = 2_000
ADDRESS_CHARACTERS_MAX: Final = 2_000
"""Of an endpoint, a header's template, a name at a provider."""
ID_CHARACTERS_MAX: Final = 100
"""Of ids that name something which need not exist."""
TAGS_MAX: Final = 64
TAG_CHARACTERS_MAX: Final = 64
TAG_VALUE_CHARACTERS_MAX: Final = 512


def _without_nul(text: str) -> str:
    """PostgreSQL's text can't hold it, and nobody means it."""
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
Name = Annotated[Text, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
Description = Annotated[Text, Field(max_length=DESCRIPTION_CHARACTERS_MAX)]
Address = Annotated[Text, Field(max_length=ADDRESS_CHARACTERS_MAX)]
Reference = Annotated[Text, Field(min_length=1, max_length=ID_CHARACTERS_MAX)]
Tags = Annotated[
    dict[
        Annotated[Text, Field(min_length=1, max_length=TAG_CHARACTERS_MAX)],
        Annotated[Text, Field(max_length=TAG_VALUE_CHARACTERS_MAX)],
    ],
    Field(max_length=TAGS_MAX),
]
