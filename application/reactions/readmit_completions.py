"""When the log was rewound, what this process has under way is entered again: `design.md` §5. Paid money doesn't vanish."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from application.concurrently import each
from application.ports import Committed
from application.settling import UnderWay, until_answered
from application.world import World
from domain.completion.commands import ReadmitCompletion, RecoverCompletion
from domain.completion.completion import OPEN_COMPLETIONS
from domain.ids import CompletionId
from domain.process.commands import StartProcess

AT_ONCE: Final = 64
BY: Final = "system:rewind"

log = logging.getLogger(__name__)


async def readmit(world: World, start: StartProcess, lost_position: int) -> None:
    """First this process itself: others would take an owner that the log doesn't know for dead."""
    await _told("this process", lambda: world.log.submit(start, by=BY, correlation_id=start.process_id))
    under_way = [(completion_id, run) for completion_id, run in world.runs.under_way.items() if run.admitted is not None]
    await each(under_way, partial(_readmit, world, lost_position), at_once=AT_ONCE)
    orphans = _orphans(world)
    await each(orphans, partial(_recover, world), at_once=AT_ONCE)
    log.warning("after the rewind, %d completions were looked up in the log, and %d recovered", len(under_way), len(orphans))


async def _readmit(world: World, lost_position: int, entry: tuple[str, UnderWay]) -> None:
    completion_id, run = entry
    if run.admitted is None or world.log.view.get(OPEN_COMPLETIONS, completion_id) is not None:
        return
    command = ReadmitCompletion(completion_id=CompletionId(completion_id), lost_position=lost_position, admitted=run.admitted)
    await _told(completion_id, lambda: world.log.submit(command, by=run.by, correlation_id=run.correlation_id))


def _orphans(world: World) -> list[str]:
    """Ours, open in the log, and over here: the log lost how they ended."""
    completions = world.log.view.items(OPEN_COMPLETIONS)
    mine = (completion_id for completion_id, completion in completions if completion.admitted.owner == world.process_id)
    return [completion_id for completion_id in mine if completion_id not in world.runs.under_way]


async def _recover(world: World, completion_id: str) -> None:
    command = RecoverCompletion(completion_id=CompletionId(completion_id))
    await _told(completion_id, lambda: world.log.submit(command, by=BY, correlation_id=world.process_id))


async def _told(what: str, ask: Callable[[], Awaitable[Committed]]) -> None:
    """One thing that can't be entered must not keep the others from it."""
    try:
        await until_answered(ask)
    except Exception as error:  # noqa: BLE001
        log.error("after the rewind, entering %s again failed with %s", what, type(error).__name__)  # noqa: TRY400
