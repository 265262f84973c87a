"""The log as the application knows it: `submit`, `catch_up`, `view`. The work is done in the writer's thread."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Thread
from typing import Any, Final

from adapters.log.replica import Replica
from adapters.log.work import Queue, Work
from adapters.log.writer import AWAY, BATCH_MAX, Writer
from application.ports import Committed, Idempotency
from domain.deciders import DECIDER_OF_COMMAND
from domain.errors import Invalid, Unavailable, Unconfirmed
from domain.fold import TROUBLE
from domain.ids import ORG_DEFAULT
from domain.kernel import Command, stream_name
from domain.rewind.commands import NoteRewind
from domain.state import View

SUBMIT_WAIT_S: Final = 2.0
"""How long a command waits to be decided while the database is away, before its caller is told to come back later."""
DOUBT_WAIT_S: Final = 10.0
"""How long its caller waits when it may have been recorded: the truth is worth more than an early answer."""
DOUBT_LOOK_S: Final = 0.1
FOLD_LAG_MAX_S: Final = 1.0
START_WAIT_S: Final = 60.0
STOP_WAIT_S: Final = 5.0
ENVELOPE_TEXT_MAX: Final = 200
SWITCH_INTERVAL_S: Final = 0.0005
"""The writer's thread holds the log's lock while it waits for the interpreter: Python's default of 5 ms would be its p99 (measured)."""


class PostgresLog:
    """Used from one event loop, the one that starts it."""

    def __init__(self, url: str, *, org: str = ORG_DEFAULT, batch_max: int = BATCH_MAX) -> None:
        self._queue = Queue()
        self._org = org
        self.writer = Writer(url=url, replica=Replica(org), queue=self._queue, batch_max=batch_max, on_rewound=self._rewound)
        self.on_rewound: Callable[[int], None] = lambda _lost_position: None
        """Told in the event loop, once the log has been read again: what this process has under way may be lost to it."""
        self._thread = Thread(target=self.writer.run, name="log writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reading: asyncio.Future[None] | None = None
        """A read that the writer has been asked for: it may have begun."""
        self._next_read: asyncio.Future[None] | None = None
        """The one after it, which all who ask meanwhile share."""

    async def start(self) -> None:
        """Returns when the log has been read to its end. Raises Unavailable when that takes too long."""
        self._loop = asyncio.get_running_loop()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()
        try:
            await self._read_within(START_WAIT_S)
        except Unavailable:
            await self.stop()
            raise
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """What has been submitted is decided first, if the database can be reached within STOP_WAIT_S; nothing more is taken."""
        self.writer.stop_by = time.monotonic() + STOP_WAIT_S
        if not self.running:
            return
        self._queue.wake()
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self._thread.join)
        self._queue.close()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

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
        then: Command | None = None,
    ) -> Committed:
        if self.writer.stop_by is not None:
            raise Unavailable("The gateway is stopping. Try again shortly")
        for text in (by, correlation_id, causation_id or ""):
            _check_storable(text)
        loop = asyncio.get_running_loop()
        work = Work(
            **self._addressed(command),
            by=by,
            correlation_id=correlation_id,
            causation_id=causation_id,
            expected_version=expected_version,
            idempotency=idempotency,
            loop=loop,
            done=loop.create_future(),
        )
        if then is not None:
            work.then = replace(work, **self._addressed(then), expected_version=None, idempotency=None)
        self._queue.put(work)
        patience = loop.call_later(SUBMIT_WAIT_S, _give_up, work, loop.time() + DOUBT_WAIT_S)
        try:
            return await work.done
        except asyncio.CancelledError:
            work.claim("caller")
            raise
        finally:
            patience.cancel()

    def _addressed(self, command: Command) -> dict[str, Any]:
        decider = DECIDER_OF_COMMAND[type(command)]
        return {"command": command, "decider": decider, "stream": stream_name(self._org, decider.category, decider.stream_id(command))}

    def time(self) -> datetime:
        read, asked_at = self.writer.clock
        return max(self.writer.replica.at, read + timedelta(seconds=time.monotonic() - asked_at))

    async def catch_up(self) -> None:
        await self._read_within(SUBMIT_WAIT_S)

    def ready(self) -> str | None:
        if self.writer.trouble is not None:
            return self.writer.trouble
        if time.monotonic() - self.writer.read_at > FOLD_LAG_MAX_S:
            return "the log has not been read for more than a second"
        return next((reason for _, reason in self.view.items(TROUBLE)), None)

    # Catching up: at most one read is asked of the writer at a time, however many wait.

    async def _read_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._coming_read())
        except TimeoutError:
            raise Unavailable(f"The log could not be read within {seconds:.0f} s. Try again shortly") from None

    def _coming_read(self) -> "asyncio.Future[None]":
        """One that begins after now."""
        if self._next_read is None:
            self._next_read = asyncio.get_running_loop().create_future()
        read = self._next_read
        if self._reading is None:
            self._ask_to_read()
        return read

    def _ask_to_read(self) -> None:
        self._reading, self._next_read = self._next_read, None
        if self._reading is not None:
            self.writer.catch_ups.append(self._read_done)
            self._queue.wake()

    def _read_done(self) -> None:
        """In the writer's thread."""
        self._on_loop(self._tell_readers)

    def _tell_readers(self) -> None:
        assert self._reading is not None
        self._reading.set_result(None)
        self._ask_to_read()

    # Rewinds

    def _rewound(self, position: int, lost_hash: bytes) -> None:
        """In the writer's thread: say so in the log, by the way that all commands take."""
        command = NoteRewind(rewind_id=f"{position}-{lost_hash.hex()[:16]}", lost_position=position, lost_hash=lost_hash.hex())
        self._on_loop(self._note, command)

    def _note(self, command: NoteRewind) -> None:
        task = asyncio.get_running_loop().create_task(self._submit_until_done(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.on_rewound(command.lost_position)

    async def _submit_until_done(self, command: Command) -> None:
        while self.writer.stop_by is None:
            try:
                await self.submit(command, by="system:log", correlation_id="rewind")
            except Unavailable as away:
                await asyncio.sleep(away.retry_after.total_seconds())
            else:
                return

    def _on_loop(self, call: Any, *arguments: Any) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            self._loop.call_soon_threadsafe(call, *arguments)


def _give_up(work: Work, doubt_until: float) -> None:
    """Undecided, it will not be decided any more. In a batch, it waits for what becomes of that: the batch may be in doubt."""
    if work.done.done():
        return
    if work.claim("caller"):
        work.done.set_exception(Unavailable(AWAY))
    elif work.loop.time() >= doubt_until:
        work.done.set_exception(Unconfirmed())
    else:
        work.loop.call_later(DOUBT_LOOK_S, _give_up, work, doubt_until)


def _check_storable(text: str) -> None:
    """What an envelope can't hold is refused here: in a batch it would take others with it."""
    if len(text) > ENVELOPE_TEXT_MAX or not text.isprintable():
        raise Invalid(f"Request ids and names of actors must be at most {ENVELOPE_TEXT_MAX} printable characters")
