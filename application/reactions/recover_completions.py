"""When a process is dead, what it left open is settled: `design.md` §6.7. One process at a time looks, whichever that is."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from application.concurrently import each
from application.ports import Watch
from application.world import World
from domain.completion.commands import RecoverCompletion
from domain.completion.completion import OPEN_COMPLETIONS, Completion
from domain.errors import Refusal
from domain.ids import CompletionId, ProcessId
from domain.process.commands import NoteDeath
from domain.process.process import PROCESSES
from domain.state import View

DEAD_AFTER_S: Final = 15.0
LOOK_EVERY_S: Final = 1.0
LOOKS_APART_S_MAX: Final = 4.0
"""Whoever looks more seldom has been standing still himself, and knows nothing of the time between."""
RECOVERIES_AT_ONCE: Final = 64
BY: Final = "system:recovery"

Left = list[tuple[str, Completion]]
"""What one process has open."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Silence:
    """Since when each process has shown no sign of life, at every look, by the looker's own clock."""

    dead_after_s: float
    since: dict[str, float] = field(default_factory=dict)
    looked_at: float = 0.0

    def forget(self) -> None:
        self.since = {}

    def dead(self, silent: Collection[str], *, began_at: float, ended_at: float) -> list[str]:
        """Those of the silent that have been so for long enough. They are told once; if they are met again, their time begins anew."""
        if began_at - self.looked_at > LOOKS_APART_S_MAX:
            self.forget()
        self.looked_at = ended_at
        self.since = {process_id: self.since.get(process_id, ended_at) for process_id in silent}
        dead = [process_id for process_id, since in self.since.items() if began_at - since >= self.dead_after_s]
        for process_id in dead:
            del self.since[process_id]
        return dead


async def recover(world: World, watch: Watch, *, dead_after_s: float = DEAD_AFTER_S) -> None:
    """For ever. Whatever goes wrong, the next look may be better."""
    silence = Silence(dead_after_s)
    while True:
        try:
            await look(world, watch, silence)
        except Exception as error:  # noqa: BLE001 (without recovery, dead processes' holds would stay for ever)
            log.error("recovery failed with %s; it goes on", type(error).__name__)  # noqa: TRY400
            silence.forget()
        await asyncio.sleep(LOOK_EVERY_S)


async def look(world: World, watch: Watch, silence: Silence) -> None:
    """Whoever may not decide lets another look."""
    began_at = world.clock.monotonic()
    if world.log.ready() is not None:
        await watch.aclose()
        silence.forget()
        return
    held = await watch.held_locks()
    if held is None:
        silence.forget()
        return
    left = _left(world.log.view)
    silent = [process_id for process_id in _expected(world, left) if not _alive(world.log.view, process_id, held)]
    for process_id in silence.dead(silent, began_at=began_at, ended_at=world.clock.monotonic()):
        await _recover_all(world, process_id, left.get(process_id, []))


def _left(view: View) -> dict[str, Left]:
    left: dict[str, Left] = {}
    for completion_id, completion in view.items(OPEN_COMPLETIONS):
        left.setdefault(completion.admitted.owner, []).append((completion_id, completion))
    return left


def _expected(world: World, left: dict[str, Left]) -> set[str]:
    """Who should be alive: whoever has something open, and whoever is not known to have ended. That we live needs no proof."""
    running = {process_id for process_id, process in world.log.view.items(PROCESSES) if not (process.stopped or process.found_dead)}
    return (running | left.keys()) - {world.process_id}


def _alive(view: View, process_id: str, held: frozenset[int]) -> bool:
    """A process that the log doesn't know holds no lock that we could look for."""
    process = view.get(PROCESSES, process_id)
    return process is not None and process.lock_key in held


async def _recover_all(world: World, process_id: str, left: Sequence[tuple[str, Completion]]) -> None:
    log.warning("process %s is dead; completions to recover: %d", process_id, len(left))
    process = world.log.view.get(PROCESSES, process_id)
    if process is not None and not (process.stopped or process.found_dead):
        death = NoteDeath(process_id=ProcessId(process_id), open_completions=len(left))
        await world.log.submit(death, by=BY, correlation_id=process_id)
    await each(left, partial(_recover_one, world, process_id), at_once=RECOVERIES_AT_ONCE)


async def _recover_one(world: World, process_id: str, entry: tuple[str, Completion]) -> None:
    """What is refused now is found open again later."""
    completion_id, completion = entry
    command = RecoverCompletion(completion_id=CompletionId(completion_id))
    try:
        await world.log.submit(command, by=BY, correlation_id=process_id, causation_id=str(completion.position))
    except Refusal as refusal:
        log.warning("completion %s is not recovered yet: %s", completion_id, refusal.message)
    except Exception as error:  # noqa: BLE001 (one that can't be recovered must not keep the others from it)
        log.error("recovering completion %s failed with %s", completion_id, type(error).__name__)  # noqa: TRY400
