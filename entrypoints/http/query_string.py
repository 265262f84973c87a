"""What a query string says, one value at a time."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from domain.errors import Invalid

TEXT_LENGTH_MAX: Final = 500
DIGITS_MAX: Final = 20


def text(said: Mapping[str, str], name: str) -> str | None:
    """NUL is a character that PostgreSQL can't hold, so nothing matches it."""
    value = said.get(name)
    if value is not None and (len(value) > TEXT_LENGTH_MAX or "\0" in value):
        raise Invalid(f"{name}: must be text of at most {TEXT_LENGTH_MAX} characters", param=name)
    return value


def whole_number(said: Mapping[str, str], name: str, *, at_least: int = 0, at_most: int) -> int | None:
    value = said.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX and at_least <= int(value) <= at_most):
        raise Invalid(f"{name}: must be a whole number from {at_least} to {at_most}", param=name)
    return int(value)


def moment(said: Mapping[str, str], name: str) -> datetime | None:
    value = said.get(name)
    if value is None:
        return None
    try:
        # A plus sign that wasn't escaped arrives as a blank.
        at = datetime.fromisoformat(value.replace(" ", "+"))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"{name}: must be a time such as 2026-11-24T08:00:00Z", param=name) from None
