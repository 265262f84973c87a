"""The machine's clock and randomness."""

import os
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domain.ids import UUID7_RANDOM_BYTES, uuid7

NANOSECONDS_PER_MS: Final = 1_000_000
IDS_DRAWN: Final = 256
"""Randomness for so many ids is asked of the system at once: each call gives the interpreter's lock away."""


class SystemClock:
    """What the operating system says."""

    def __init__(self) -> None:
        self._random: deque[bytes] = deque()
        os.register_at_fork(after_in_child=self._random.clear)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def uuid7(self) -> UUID:
        return uuid7(time.time_ns() // NANOSECONDS_PER_MS, self._draw())

    def _draw(self) -> bytes:
        """Each piece is handed out once, to whichever thread asks."""
        try:
            return self._random.pop()
        except IndexError:
            drawn = os.urandom(UUID7_RANDOM_BYTES * IDS_DRAWN)
            self._random.extend(drawn[at : at + UUID7_RANDOM_BYTES] for at in range(UUID7_RANDOM_BYTES, len(drawn), UUID7_RANDOM_BYTES))
            return drawn[:UUID7_RANDOM_BYTES]
