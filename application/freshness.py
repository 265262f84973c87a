"""Before a 'no' is given, the log is read to its end: what is asked for may just have been made by another process."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from application.ports import Log
from domain.errors import Refusal, Unavailable

T = TypeVar("T")

CATCH_UP_WAIT_S: Final = 0.5


async def caught_up(log: Log) -> None:
    """Raises Unavailable when the log can't be read in time."""
    try:
        async with asyncio.timeout(CATCH_UP_WAIT_S):
            await log.catch_up()
    except TimeoutError:
        raise Unavailable("The log can't be read now. Try again shortly") from None


async def confirmed(log: Log, look: Callable[[], T]) -> T:
    """What `look` finds; it is refused only after a second look."""
    try:
        return look()
    except Refusal:
        await caught_up(log)
        return look()
