"""Bodies are read strictly and exactly; money is written with all its decimals."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import Field

from domain.errors import Invalid
from domain.ids import TeamId
from domain.kernel import Command, Value
from entrypoints.http.wire import JSON_DEPTH_MAX, checked, dump, nanos_field, parse, usd


class Part(Value):
    names: frozenset[str] = frozenset()


class Ask(Command):
    team_id: TeamId
    count: int = Field(0, ge=0)
    share: float | None = None
    at: datetime | None = None
    part: Part = Part()


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": -1000000000000000000}',
        b"[" * 100_000,
        b"[" * (JSON_DEPTH_MAX + 1) + b"]" * (JSON_DEPTH_MAX + 1),
        b'{"a":' * (JSON_DEPTH_MAX + 1) + b"1" + b"}" * (JSON_DEPTH_MAX + 1),
    ],
    ids=lambda raw: repr(raw[:16]),
)
def test_what_is_no_json_is_refused_as_such(raw: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        parse(raw)
    assert refused.value.code == "json_parse_error"


def test_as_many_levels_as_allowed_are_read() -> None:
    assert parse(b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX)


def test_decimals_stay_exact() -> None:
    assert parse(b'{"limit": 0.1}') == {"limit": Decimal("0.1")}
    assert dump({"limit": usd(100_000_001), "none": usd(0)}) == b'{"limit":0.100000001,"none":0.0}'


def test_unknown_fields_are_ignored_and_known_ones_read() -> None:
    asked = checked(Ask, {"team_id": "a", "count": 3, "part": {"names": ["x"]}, "at": "2026-11-24T08:00:00Z", "share": 1, "colour": "red"})
    assert asked == Ask(
        team_id=TeamId("a"), count=3, share=1.0, at=datetime(2026, 11, 24, 8, tzinfo=UTC), part=Part(names=frozenset({"x"}))
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "id"),
        ({"team_id": "no/slash"}, "id"),
        ({"team_id": "a" * 10_000}, "id"),
        ({"team_id": 7}, "id"),
        ({"team_id": "a", "count": "3"}, "count"),
        ({"team_id": "a", "count": True}, "count"),
        ({"team_id": "a", "count": Decimal("3.5")}, "count"),
        ({"team_id": "a", "count": -1}, "count"),
        ({"team_id": "a", "share": "much"}, "share"),
        ({"team_id": "a", "at": "yesterday"}, "at"),
        ({"team_id": "a", "part": {"names": "x"}}, "part"),
        ({"team_id": "a", "part": []}, "part"),
    ],
)
def test_the_field_that_is_wrong_is_named_as_the_wire_names_it(fields: dict[str, object], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked(Ask, fields, {"team_id": "id"})
    assert refused.value.param == param
    assert refused.value.message.startswith(param)


@pytest.mark.parametrize("amount", ["5", True, [], {}, Decimal("0.0000000001"), Decimal("1E+300"), 10**18])
def test_dollars_are_numbers_with_at_most_nine_decimals(amount: object) -> None:
    with pytest.raises(Invalid) as refused:
        nanos_field({"hard_limit_usd": amount}, "hard_limit_usd")
    assert refused.value.param == "hard_limit_usd"


@pytest.mark.parametrize(("amount", "nanos"), [(None, None), (5, 5_000_000_000), (Decimal("0.57"), 570_000_000), (Decimal("1E-9"), 1)])
def test_dollars_become_nano_dollars(amount: object, nanos: int | None) -> None:
    assert nanos_field({"hard_limit_usd": amount}, "hard_limit_usd") == nanos
