"""What a provider can't do is refused by its name, or left out where the model says so; and whatever is left out, the client is told."""

import re
from collections.abc import Mapping
from typing import Any, Final

from domain.errors import Invalid

CODE: Final = "unsupported_parameter"
NOT_THERE: Final = "is not supported by this model's provider"
NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,64}", re.ASCII)
"""Dropped parameters are named in a header: a client's own inventions stay out of it."""
NAMES_MAX: Final = 32
SHOWN_LENGTH_MAX: Final = 100

NEUTRAL: Final[Mapping[str, Any]] = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "store": False,
    "parallel_tool_calls": True,
    "functions": [],
    "tools": [],
    "metadata": {},
    "verbosity": "medium",
}
"""What asks for nothing: OpenAI's defaults, which some clients always send."""


class Unsupported:
    """Keeps account of what one request asked for in vain."""

    __slots__ = ("_dropped", "drop")

    def __init__(self, *, drop: bool) -> None:
        self.drop = drop
        self._dropped: dict[str, None] = {}

    @property
    def dropped(self) -> tuple[str, ...]:
        """In the order in which they were met, each once."""
        return tuple(self._dropped)

    def refuse(self, name: str, rule: str = "", *, place: str | None = None) -> None:
        """Returns only where the model drops such parameters. `place`: where in the request it stands; `rule`: what it would have to be."""
        if not self.drop:
            where = (place or name)[:SHOWN_LENGTH_MAX]
            raise Invalid(f"'{where}' {rule or NOT_THERE}.", param=where, code=CODE)
        self.leave_out(name)

    def leave_out(self, name: str) -> None:
        """What nobody misses, but is told all the same."""
        if NAME.fullmatch(name) and len(self._dropped) < NAMES_MAX:
            self._dropped[name] = None
