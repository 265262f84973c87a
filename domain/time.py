"""Calendar periods in a time zone, and the buckets of sliding windows: functions of event time, so no job resets anything."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Period(StrEnum):
    """How often a budget begins anew."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    LIFETIME = "lifetime"


def period_start(period: Period, time_zone: str, at: datetime) -> datetime:
    """Local midnight that began the day, the week (Monday) or the month around `at`, in UTC; the epoch for a lifetime."""
    if period is Period.LIFETIME:
        return EPOCH
    return _midnight(_first_day(period, at.astimezone(ZoneInfo(time_zone))), time_zone)


def period_end(period: Period, time_zone: str, start: datetime) -> datetime | None:
    """When the period that began at `start` gives way to the next; None for a lifetime."""
    if period is Period.LIFETIME:
        return None
    first = start.astimezone(ZoneInfo(time_zone))
    span = {Period.DAILY: timedelta(days=1), Period.WEEKLY: timedelta(days=7), Period.MONTHLY: timedelta(days=32)}[period]
    following = first.replace(tzinfo=None) + span
    return _midnight(following.replace(day=1) if period is Period.MONTHLY else following, time_zone)


def unix_micros(at: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (at - EPOCH) // MICROSECOND


def unix_seconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)


def _first_day(period: Period, local: datetime) -> datetime:
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    match period:
        case Period.WEEKLY:
            return day - timedelta(days=day.weekday())
        case Period.MONTHLY:
            return day.replace(day=1)
    return day


def _midnight(day: datetime, time_zone: str) -> datetime:
    """The first moment of a local day; where the clock skips midnight, the moment after the gap (PEP 495, fold=0)."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))
    return local.astimezone(UTC)
