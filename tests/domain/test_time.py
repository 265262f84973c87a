"""Calendar periods: they follow each other without gaps, whatever the clocks of a place do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.time import EPOCH, MICROSECOND, TIME_ZONES, Moment, Period, period_end, period_start, unix_micros, unix_seconds, zone

CALENDAR = (Period.DAILY, Period.WEEKLY, Period.MONTHLY)
SPANS = {Period.DAILY: (22, 26), Period.WEEKLY: (7 * 24 - 2, 7 * 24 + 2), Period.MONTHLY: (28 * 24 - 2, 31 * 24 + 2)}
"""In hours: clocks change by an hour or two."""

periods = st.sampled_from(CALENDAR)
zones = st.sampled_from(sorted(TIME_ZONES))
moments = st.datetimes(datetime(2024, 1, 1), datetime(2090, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


def end_of(period: Period, time_zone: str, start: datetime) -> datetime:
    end = period_end(period, time_zone, start)
    assert end is not None
    return end


@settings(max_examples=300)
@given(periods, zones, moments)
@example(Period.DAILY, "America/Santiago", datetime(2026, 9, 6, 4, 0, tzinfo=UTC))  # the day has no midnight
@example(Period.DAILY, "America/Santiago", datetime(2026, 4, 5, 3, 30, tzinfo=UTC))  # its last hour comes twice
@example(Period.DAILY, "Asia/Beirut", datetime(2026, 3, 28, 22, 0, tzinfo=UTC))
@example(Period.WEEKLY, "Asia/Beirut", datetime(2026, 10, 24, 21, 30, tzinfo=UTC))
@example(Period.DAILY, "America/Havana", datetime(2025, 11, 2, 4, 30, tzinfo=UTC))  # midnight comes twice
@example(Period.MONTHLY, "Pacific/Kiritimati", datetime(2026, 1, 31, 10, 0, tzinfo=UTC))
@example(Period.DAILY, "Etc/GMT+12", datetime(2026, 1, 1, 11, 59, tzinfo=UTC))
@example(Period.DAILY, "Antarctica/Troll", datetime(2026, 3, 29, 1, 0, tzinfo=UTC))  # two hours at once
@example(Period.WEEKLY, "Pacific/Chatham", datetime(2026, 4, 4, 14, 0, tzinfo=UTC))
def test_periods_chain_without_gaps(period: Period, time_zone: str, at: datetime) -> None:
    start = period_start(period, time_zone, at)
    end = end_of(period, time_zone, start)
    assert start <= at < end
    for inside in (start, end - MICROSECOND):
        assert period_start(period, time_zone, inside) == start
    assert period_start(period, time_zone, end) == end
    assert period_start(period, time_zone, start - MICROSECOND) < start
    least, most = SPANS[period]
    assert timedelta(hours=least) <= end - start <= timedelta(hours=most)
    assert start.utcoffset() == end.utcoffset() == timedelta(0)


@given(zones, moments)
def test_a_period_begins_with_its_first_local_day(time_zone: str, at: datetime) -> None:
    """Just before, it is another day there; from the first moment on, it is that day."""
    local = at.astimezone(zone(time_zone)).date()
    day = period_start(Period.DAILY, time_zone, at).astimezone(zone(time_zone))
    week = period_start(Period.WEEKLY, time_zone, at).astimezone(zone(time_zone))
    month = period_start(Period.MONTHLY, time_zone, at).astimezone(zone(time_zone))
    assert day.date() == local
    assert (week.weekday(), 0 <= (local - week.date()).days < 7) == (0, True)
    assert (month.day, month.month, month.year) == (1, local.month, local.year)
    for first in (day, week, month):
        before = (first.astimezone(UTC) - MICROSECOND).astimezone(zone(time_zone))
        assert before.date() < first.date()


@pytest.mark.parametrize(
    ("period", "time_zone", "start", "end"),
    [
        (Period.DAILY, "UTC", "2026-03-04T00:00+00:00", "2026-03-05T00:00+00:00"),
        (Period.WEEKLY, "UTC", "2026-03-02T00:00+00:00", "2026-03-09T00:00+00:00"),
        (Period.MONTHLY, "UTC", "2026-03-01T00:00+00:00", "2026-04-01T00:00+00:00"),
        (Period.DAILY, "Pacific/Kiritimati", "2026-03-03T10:00+00:00", "2026-03-04T10:00+00:00"),
        (Period.DAILY, "Etc/GMT+12", "2026-03-03T12:00+00:00", "2026-03-04T12:00+00:00"),
        (Period.DAILY, "Asia/Kathmandu", "2026-03-03T18:15+00:00", "2026-03-04T18:15+00:00"),
        (Period.MONTHLY, "Europe/Berlin", "2026-02-28T23:00+00:00", "2026-03-31T22:00+00:00"),
    ],
)
def test_periods_around_a_wednesday_morning(period: Period, time_zone: str, start: str, end: str) -> None:
    morning = datetime(2026, 3, 4, 9, tzinfo=UTC)
    assert period_start(period, time_zone, morning) == datetime.fromisoformat(start)
    assert period_end(period, time_zone, datetime.fromisoformat(start)) == datetime.fromisoformat(end)


def test_a_day_without_midnight_begins_after_the_gap() -> None:
    one_o_clock = datetime(2026, 9, 6, 4, 0, tzinfo=UTC)
    assert period_start(Period.DAILY, "America/Santiago", one_o_clock + timedelta(hours=5)) == one_o_clock
    assert one_o_clock.astimezone(zone("America/Santiago")).hour == 1
    assert end_of(Period.DAILY, "America/Santiago", one_o_clock) - one_o_clock == timedelta(hours=23)


def test_a_lifetime_begins_with_the_epoch_and_never_ends() -> None:
    assert period_start(Period.LIFETIME, "Asia/Beirut", datetime.max.replace(tzinfo=UTC)) == EPOCH
    assert period_end(Period.LIFETIME, "Asia/Beirut", EPOCH) is None


@pytest.mark.parametrize(
    ("period", "begins", "ends", "number"),
    [
        (Period.DAILY, datetime(2025, 1, 1, 5, tzinfo=UTC), datetime(2026, 1, 1, 5, tzinfo=UTC), 365),
        (Period.WEEKLY, datetime(2025, 1, 6, 5, tzinfo=UTC), datetime(2026, 1, 5, 5, tzinfo=UTC), 52),
        (Period.MONTHLY, datetime(2025, 1, 1, 5, tzinfo=UTC), datetime(2026, 1, 1, 5, tzinfo=UTC), 12),
    ],
)
def test_a_year_in_havana_has_as_many_periods_as_elsewhere(period: Period, begins: datetime, ends: datetime, number: int) -> None:
    start = begins
    for _ in range(number):
        start = end_of(period, "America/Havana", start)
    assert start == ends


def test_every_zone_that_is_known_can_be_used() -> None:
    assert {"UTC", "Europe/Berlin", "America/Santiago"} <= TIME_ZONES
    for name in TIME_ZONES:
        assert zone(name).key == name


@pytest.mark.parametrize("name", ["", "Mars/Olympus_Mons", "../../etc/passwd", "Europe", "europe/berlin"])
def test_a_zone_that_is_not_known_stops_no_fold(name: str) -> None:
    assert zone(name).key == "UTC"


@given(moments)
def test_micros_are_exact(at: datetime) -> None:
    assert EPOCH + unix_micros(at) * MICROSECOND == at
    assert unix_seconds(at) == unix_micros(at) // 1_000_000


@pytest.mark.parametrize("wrong", ["2026-03-04T09:00:00", "9999-12-31T23:59:59-01:00", "yesterday"])
def test_a_moment_has_an_offset_and_a_place_in_utc(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_json(f'"{wrong}"', strict=True)


def test_a_moment_is_kept_in_utc() -> None:
    moment = TypeAdapter(Moment).validate_json('"2026-03-04T10:00:00+01:00"', strict=True)
    assert moment.isoformat() == "2026-03-04T09:00:00+00:00"
