"""Money is an integer number of nano-dollars; over HTTP it is a decimal number of dollars with at most nine decimals."""

from decimal import Context, Decimal, Inexact, InvalidOperation

NANOS_PER_USD = 1_000_000_000
NANOS_PER_MICRO = 1_000
USD_MAX = 1_000_000_000
"""A thousand million dollars: above any real limit, and far inside 64 bits of nano-dollars."""

EXACT = Context(traps=[Inexact])
"""Arithmetic as usual would round the thirtieth digit away, and call 1E-30 nothing."""
TOO_FINE = "must not have more than nine decimals"


def nanos_of_usd(usd: Decimal | int | str) -> int:
    """Exact. Raises ValueError for what is not a finite number, has more than nine decimals, or exceeds ±USD_MAX."""
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        raise ValueError("must be a number of US dollars") from None
    if not amount.is_finite():
        raise ValueError("must be a finite number of US dollars")
    if amount.copy_abs() > USD_MAX:
        raise ValueError(f"must not exceed {USD_MAX} US dollars")
    try:
        nanos = EXACT.multiply(amount, Decimal(NANOS_PER_USD))
    except Inexact:
        raise ValueError(TOO_FINE) from None
    if nanos != int(nanos):
        raise ValueError(TOO_FINE)
    return int(nanos)


def usd_text(nanos: int) -> str:
    """All decimals that are not zero, and at least one, so that JSON shows a float: 570000000 → "0.57", 0 → "0.0"."""
    sign, whole, rest = "-" if nanos < 0 else "", *divmod(abs(nanos), NANOS_PER_USD)
    return f"{sign}{whole}.{f'{rest:09d}'.rstrip('0') or '0'}"


def micros(nanos: int) -> int:
    """Whole micro-dollars, rounded half up."""
    return (nanos * 2 + NANOS_PER_MICRO) // (2 * NANOS_PER_MICRO)
