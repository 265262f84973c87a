"""The log as the application knows it: `submit`, `catch_up`, `view`. The work is done in the writer's thread."""

import asyncio
import gc
import sys
import time
from threading import Thread
from typing import Any, Final

from domain.deciders import DECIDER_OF_COMMAND
from domain.fold import TROUBLE

from adapters.log.replica import Replica
from adapters.log.work import Queue, Work
from adapters.log.writer import BATCH_MAX, Writer
from application.ports import Committed, Idempotency
from domain.errors import Unavailable
from domain.ids import ORG_DEFAULT
from domain.kernel import Command, stream_name
from domain.rewind.commands import NoteRewind
from domain.state import View

SUBMIT_WAIT_S: Final = 2.0
"""How long a command waits to be decided while the database is away, before its caller is told to come back later."""
FOLD_LAG_MAX_S: Final = 1.0
START_WAIT_S: Final = 60.0
SWITCH_INTERVAL_S: Final = 0.0005
"""The writer's thread holds the log's lock while it waits for the interpreter: Python's default of 5 ms would be its p99 (measured)."""


class PostgresLog:
    def __init__(self, url: str, *, org: str = ORG_DEFAULT, batch_max: int = BATCH_MAX) -> None:
        self._queue = Queue()
        self._org = org
        self.writer = Writer(url=url, replica=Replica(org), queue=self._queue, batch_max=batch_max, on_rewound=self._rewound)
        self._thread = Thread(target=self.writer.run, name="log writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Returns when the log has been read to its end. Raises Unavailable when that takes too long."""
        self._loop = asyncio.get_running_loop()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()
        try:
            await asyncio.wait_for(self.catch_up(), START_WAIT_S)
        except TimeoutError:
            raise Unavailable(f"The log could not be read within {START_WAIT_S:.0f} s") from None
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """What has been submitted is decided first."""
        self.writer.stopping = True
        self._queue.wake()
        await asyncio.to_thread(self._thread.join)
        self._queue.close()

    @property
    def view(self) -> View:
        return self.writer.replica.state

    @property
    def position(self) -> int:
        return self.writer.replica.position

    async def submit(
        self,
        command: Command,
        *,
        by: str,
        correlation_id: str,
        causation_id: str | None = None,
        expected_version: int | None = None,
        idempotency: Idempotency | None = None,
    ) -> Committed:
        decider = DECIDER_OF_COMMAND[type(command)]
        loop = asyncio.get_running_loop()
        work = Work(
            command=command,
            decider=decider,
            stream=stream_name(self._org, decider.category, decider.stream_id(command)),
            by=by,
            correlation_id=correlation_id,
            causation_id=causation_id,
            expected_version=expected_version,
            idempotency=idempotency,
            loop=loop,
            done=loop.create_future(),
        )
        self._queue.put(work)
        patience = loop.call_later(SUBMIT_WAIT_S, _give_up, work)
        try:
            return await work.done
        except asyncio.CancelledError:
            work.claim("caller")
            raise
        finally:
            patience.cancel()

    async def catch_up(self) -> None:
        loop = asyncio.get_running_loop()
        read = loop.create_future()
        self.writer.catch_ups.append(lambda: loop.call_soon_threadsafe(_tell, read))
        self._queue.wake()
        await read

    def ready(self) -> str | None:
        if self.writer.trouble is not None:
            return self.writer.trouble
        if time.monotonic() - self.writer.read_at > FOLD_LAG_MAX_S:
            return "the log has not been read for more than a second"
        return next((reason for _, reason in self.view.items(TROUBLE)), None)

    def _rewound(self, position: int, lost_hash: bytes) -> None:
        """In the writer's thread: say so in the log, by the way that all commands take."""
        command = NoteRewind(rewind_id=f"{position}-{lost_hash.hex()[:16]}", lost_position=position, lost_hash=lost_hash.hex())
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._note, command)

    def _note(self, command: Command) -> None:
        task = asyncio.get_running_loop().create_task(self._submit_until_done(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit_until_done(self, command: Command) -> None:
        while not self.writer.stopping:
            try:
                await self.submit(command, by="system:log", correlation_id="rewind")
            except Unavailable as away:
                await asyncio.sleep(away.retry_after.total_seconds())
            else:
                return


def _give_up(work: Work) -> None:
    if work.claim("caller") and not work.done.done():
        work.done.set_exception(Unavailable("The log can't be reached. Try again shortly"))


def _tell(read: asyncio.Future[None]) -> None:
    if not read.done():
        read.set_result(None)
