"""When requests were refused, their counts are recorded: the first of each kind at once, the others with the minute and at the end."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import Final

from application.concurrently import each
from application.settling import until_answered
from application.world import World
from domain.refusal.commands import RecordRefusals

REPORT_EVERY_S: Final = 60.0
AT_ONCE: Final = 32
LAST_REPORTS_S_MAX: Final = 2.0
"""A log that is away isn't waited for at the end."""
BY: Final = "system:refusals"

log = logging.getLogger(__name__)


async def report(world: World) -> None:
    """For ever."""
    refusals, clock = world.refusals, world.clock
    minute_ends_at = clock.monotonic() + REPORT_EVERY_S
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, minute_ends_at - clock.monotonic())):
                await refusals.until_first()
        minute_over = clock.monotonic() >= minute_ends_at
        refusals.draw(clock, minute_over=minute_over)
        if minute_over:
            minute_ends_at = clock.monotonic() + REPORT_EVERY_S
        await record(world)


async def report_the_last(world: World) -> None:
    """When `report` has been cancelled: what that left, too."""
    world.refusals.draw(world.clock, minute_over=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_REPORTS_S_MAX):
            await record(world)


async def record(world: World) -> None:
    await each(list(world.refusals.reports.values()), partial(_record_one, world), at_once=AT_ONCE)


async def _record_one(world: World, asked: RecordRefusals) -> None:
    """Asked until it is answered, always under the same id: so it is recorded once."""
    by = BY if asked.api_key_id is None else f"key:{asked.api_key_id}"
    try:
        await until_answered(lambda: world.log.submit(asked, by=by, correlation_id=asked.first_request_id))
    except Exception as error:  # noqa: BLE001 (one report that can't be recorded must not keep the others from it)
        log.error("recording refusals failed with %s", type(error).__name__)  # noqa: TRY400
    del world.refusals.reports[asked.refusal_id]
