"""Sliding windows: how much was counted lately, in buckets of event time. Immutable, so that a failed batch leaves no trace."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domain.time import unix_micros, unix_seconds

MICROS_PER_S: Final = 1_000_000


class Span(NamedTuple):
    """A window's length: so many buckets of so many seconds. It holds the bucket around now and those before it."""

    bucket_s: int
    buckets: int


MINUTE: Final = Span(1, 60)
HOUR: Final = Span(60, 60)
DAY: Final = Span(3600, 24)

Window = tuple[tuple[int, int], ...]
"""Counts by bucket number, ascending. Those that have left the span are dropped when something is counted."""


def counted(window: Window, span: Span, second: int, amount: int) -> Window:
    """`amount` more in this second since the epoch, which is not before any that was counted."""
    now = second // span.bucket_s
    if window and window[-1][0] >= now:
        newest, count = window[-1]
        return (*window[:-1], (newest, count + amount))
    first = now - span.buckets + 1
    if window and window[0][0] < first:
        window = tuple([bucket for bucket in window if bucket[0] >= first])
    return (*window, (now, amount))


def corrected(window: Window, span: Span, second: int, amount: int) -> Window:
    """By `amount`, what was counted in this second; the same where that has been dropped."""
    then = second // span.bucket_s
    return tuple([(bucket, count + amount) if bucket == then else (bucket, count) for bucket, count in window])


def total(window: Window, span: Span, second: int) -> int:
    """What stands in the window in this second."""
    first = second // span.bucket_s - span.buckets + 1
    return sum([count for bucket, count in window if bucket >= first])


def room_after(window: Window, span: Span, at: datetime, excess: int) -> timedelta:
    """How long until at least `excess` has left the window, or all of it where it holds less."""
    now = unix_seconds(at) // span.bucket_s
    leaving = now + span.buckets
    for bucket, count in window:
        if bucket > now - span.buckets:
            leaving = bucket + span.buckets
            excess -= count
            if excess <= 0:
                break
    return timedelta(microseconds=leaving * span.bucket_s * MICROS_PER_S - unix_micros(at))
