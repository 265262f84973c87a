"""One listening socket, accepted from by several workers, so that each has about as many connections as the others.

Left to the kernel, whoever wakes first takes all that wait: with few clients, which keep their connections, one worker may have them all
(measured: 8 of 8, and 158 of 256 among three). So each worker writes down how many it has, and one that has more than another leaves a
connection to that one for a moment.
"""

import asyncio
import logging
import mmap
import socket
import tempfile
from collections.abc import Callable
from typing import IO, Final

from aiohttp import web

BACKLOG: Final = 1_024
COURTESY_S: Final = 0.002
"""How long a connection is left to whoever has fewer. It may be too busy, or just dead, so then it is taken all the same."""
LATE_SHARE: Final = 4
EXHAUSTED_S: Final = 0.5
"""Before the next try when the process has no file descriptor left."""
GONE: Final = (1 << 31) - 1
"""In place of the number of a worker that is not there: nobody has more."""

log = logging.getLogger(__name__)


def tally_file(workers: int) -> IO[bytes]:
    """To be handed down to all workers."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as its descriptor)
    file.truncate(mmap.PAGESIZE)
    tally = Tally(file.fileno(), workers)
    for worker in range(workers):
        tally.write(worker, GONE)
    return file


class Tally:
    """How many connections each worker has: memory that all of them share, each writing its own number."""

    def __init__(self, descriptor: int, workers: int) -> None:
        self._numbers = memoryview(mmap.mmap(descriptor, mmap.PAGESIZE)).cast("i")[:workers]

    def write(self, worker: int, connections: int) -> None:
        self._numbers[worker] = connections

    def fewest(self) -> int:
        return min(self._numbers)


class SharedSite(web.BaseSite):
    """Where aiohttp's own sites accept until nobody waits, this stops when another worker has fewer."""

    def __init__(self, runner: web.AppRunner, listening: socket.socket, tally: Tally, worker: int) -> None:
        super().__init__(runner)
        self._listening = listening
        self._tally = tally
        self._worker = worker
        self._arriving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return str(self._listening.getsockname())

    async def start(self) -> None:
        await super().start()
        self._listening.setblocking(False)
        self._listening.listen(BACKLOG)
        self._connections()
        self._watch()

    async def stop(self) -> None:
        """The connections that are open stay so."""
        self._loop.remove_reader(self._listening)
        if self._later is not None:
            self._later.cancel()
        self._listening.close()
        if self._arriving:
            await asyncio.wait(self._arriving)
        self._tally.write(self._worker, GONE)
        await super().stop()

    def _watch(self) -> None:
        self._later = None
        self._loop.add_reader(self._listening, self._heard)

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listening)
        self._later = self._loop.call_later(seconds, then)

    def _heard(self) -> None:
        while self._connections() <= self._tally.fewest():
            if not self._take():
                return
        self._pause(COURTESY_S, self._take_late)

    def _take_late(self) -> None:
        """One, or with many connections a part of as many: in a busy process the next turn may be long in coming."""
        self._watch()
        for _ in range(1 + self._connections() // LATE_SHARE):
            if not self._take():
                return

    def _take(self) -> bool:
        """False: nobody waits any more, or none can be taken now."""
        try:
            connection, _ = self._listening.accept()
        except ConnectionAbortedError:
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            log.error("no connection can be accepted: %s", error.strerror)  # noqa: TRY400
            self._pause(EXHAUSTED_S, self._watch)
            return False
        arriving = self._loop.create_task(self._arrive(connection))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)
        return True

    async def _arrive(self, connection: socket.socket) -> None:
        assert self._runner.server is not None
        try:
            await self._loop.connect_accepted_socket(self._runner.server, connection)
        except OSError:  # it is gone already
            connection.close()

    def _connections(self) -> int:
        """Counted, and written down."""
        assert self._runner.server is not None
        connections = len(self._runner.server.connections) + len(self._arriving)
        self._tally.write(self._worker, connections)
        return connections
