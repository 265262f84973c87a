"""Money is exact."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import NANOS_PER_USD, USD_MAX, micros, nanos_of_usd, usd_text

NANOS_MAX = USD_MAX * NANOS_PER_USD
amounts = st.integers(-NANOS_MAX, NANOS_MAX)


@given(amounts)
def test_what_is_printed_reads_as_it_was(nanos: int) -> None:
    text = usd_text(nanos)
    assert nanos_of_usd(text) == nanos
    assert nanos_of_usd(Decimal(text)) == nanos
    whole, _, rest = text.partition(".")
    assert rest == "0" or not rest.endswith("0"), "all decimals that are not zero, and at least one"
    assert whole.removeprefix("-").isdigit()


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_any_number_is_read_exactly_or_not_at_all(usd: Decimal) -> None:
    try:
        nanos = nanos_of_usd(usd)
    except ValueError:
        with localcontext(prec=2_000):
            assert abs(usd) > USD_MAX or usd * NANOS_PER_USD % 1
    else:
        with localcontext(prec=2_000):
            assert usd * NANOS_PER_USD == nanos


@pytest.mark.parametrize(
    ("usd", "nanos"),
    [
        ("0.57", 570_000_000),
        (1, NANOS_PER_USD),
        ("1e-9", 1),
        ("1E+9", NANOS_MAX),
        ("-0", 0),
        ("0.1000000000000", 100_000_000),
        ("0e-999999", 0),
    ],
)
def test_amounts(usd: Decimal | int | str, nanos: int) -> None:
    assert nanos_of_usd(usd) == nanos


@pytest.mark.parametrize(
    ("usd", "message"),
    [
        ("NaN", "finite"),
        ("sNaN", "finite"),
        ("Infinity", "finite"),
        ("money", "number"),
        ("", "number"),
        ("1000000000.000000001", "exceed"),
        ("-1e1000000", "exceed"),
        ("1e999999999", "exceed"),
        ("1e-10", "nine decimals"),
        ("1e-999999999", "nine decimals"),
        ("0.10000000000000000000000000000000000000000001", "nine decimals"),
    ],
)
def test_what_is_no_amount(usd: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nanos_of_usd(usd)


@given(amounts)
def test_micros_are_rounded_half_up(nanos: int) -> None:
    assert -500 < micros(nanos) * 1_000 - nanos <= 500
    assert micros(nanos + 1_000) == micros(nanos) + 1


def test_half_a_micro_goes_up() -> None:
    assert [micros(nanos) for nanos in (499, 500, 1_499, 1_500, -500, -501)] == [0, 1, 1, 2, 0, -1]
