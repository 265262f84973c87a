"""Money is an integer number of nano-dollars; over HTTP it is a decimal number of dollars with at most nine decimals."""

from decimal import Decimal, InvalidOperation

NANOS_PER_USD = 1_000_000_000
NANOS_PER_MICRO = 1_000
USD_MAX = 1_000_000_000
"""A thousand million dollars: above any real limit, and far inside 64 bits of nano-dollars."""


def nanos_of_usd(usd: Decimal | int | str) -> int:
    """Exact. Raises ValueError for what is not a finite number, has more than nine decimals, or exceeds ±USD_MAX."""
    try:
        nanos = Decimal(usd) * NANOS_PER_USD
    except InvalidOperation:
        raise ValueError("must be a number of US dollars") from None
    if not nanos.is_finite():
        raise ValueError("must be a finite number of US dollars")
    if abs(nanos) > USD_MAX * NANOS_PER_USD:
        raise ValueError(f"must not exceed {USD_MAX} US dollars")
    if nanos != int(nanos):
        raise ValueError("must not have more than nine decimals")
    return int(nanos)


def usd_text(nanos: int) -> str:
    """All decimals that are not zero, and at least one, so that JSON shows a float: 570000000 → "0.57", 0 → "0.0"."""
    sign, whole, rest = "-" if nanos < 0 else "", *divmod(abs(nanos), NANOS_PER_USD)
    return f"{sign}{whole}.{f'{rest:09d}'.rstrip('0') or '0'}"


def micros(nanos: int) -> int:
    """Whole micro-dollars, rounded half up."""
    return (nanos * 2 + NANOS_PER_MICRO) // (2 * NANOS_PER_MICRO)
