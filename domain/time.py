"""Calendar periods in a time zone: functions of event time, so no job resets anything."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

ZONES: Final = files("tzdata") / "zoneinfo"
"""Of the pinned package, never of the machine's own: all processes must agree on when a period begins."""
ZONES_CACHED_MAX: Final = 1_024
"""More than there are."""
TIME_ZONES: Final = frozenset((files("tzdata") / "zones").read_text().split())


class Period(StrEnum):
    """How often a budget begins anew."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    LIFETIME = "lifetime"


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a moment of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A point in time as commands take it: with its offset, kept in UTC."""


def period_start(period: Period, time_zone: str, at: datetime) -> datetime:
    """Local midnight that began the day, the week (Monday) or the month around `at`, in UTC; the epoch for a lifetime."""
    if period is Period.LIFETIME:
        return EPOCH
    return _midnight(_first_day(period, at.astimezone(zone(time_zone))), time_zone)


def period_end(period: Period, time_zone: str, start: datetime) -> datetime | None:
    """When the period that began at `start` gives way to the next; None for a lifetime."""
    if period is Period.LIFETIME:
        return None
    first = start.astimezone(zone(time_zone))
    span = {Period.DAILY: timedelta(days=1), Period.WEEKLY: timedelta(days=7), Period.MONTHLY: timedelta(days=32)}[period]
    following = first.replace(tzinfo=None) + span
    return _midnight(following.replace(day=1) if period is Period.MONTHLY else following, time_zone)


@lru_cache(ZONES_CACHED_MAX)
def zone(time_zone: str) -> ZoneInfo:
    """UTC for a name that isn't known here, since folds rest on this: whoever decides by it asks first whether it is known."""
    name = time_zone if time_zone in TIME_ZONES else "UTC"
    with ZONES.joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


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
    local = datetime(day.year, day.month, day.day, tzinfo=zone(time_zone))
    return local.astimezone(UTC)
