"""Where a page of a list ended, as clients hand it back: a moment and a position in the log."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from domain.errors import Invalid
from domain.time import EPOCH, MICROSECOND, unix_micros

CURSOR: Final = re.compile(r"(\d{1,17})-(\d{1,18})", re.ASCII)


def cursor_of(at: datetime, position: int) -> str:
    return f"{unix_micros(at)}-{position}"


def place_of(said: Mapping[str, str], name: str) -> tuple[datetime, int] | None:
    value = said.get(name)
    if value is None:
        return None
    if (parts := CURSOR.fullmatch(value)) is None:
        raise Invalid(f"{name}: must be what `next` of the page before said", param=name)
    return EPOCH + int(parts[1]) * MICROSECOND, int(parts[2])
