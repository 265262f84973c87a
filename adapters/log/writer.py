"""The writer: one thread that takes the lock, decides a batch and makes it durable, over and over.

    BEGIN; take the lock; guard; read the tail and the time        first round trip
    fold the tail, decide each command on an overlay
    INSERT all events; NOTIFY; COMMIT                              second round trip
    adopt the overlay, wake the callers

There is no conflict path: nobody else can append until the batch commits. What can go wrong is a connection lost around COMMIT (the
batch is in doubt until the log shows whether it is there) and a log that lost its end (`Rewound`).
"""

import logging
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from adapters.log import connection as connections
from adapters.log.batch import Batch, NotLoaded, Remembered, decide_all, own_state
from adapters.log.codec import recorded
from adapters.log.connection import ClockSkew, Connection, begin, stands, tail_after, write
from adapters.log.measures import Measures
from adapters.log.replica import PAGE_ROWS, Replica, Rewound, load
from adapters.log.work import Queue, Work, answer
from application.ports import Committed

BATCH_MAX: Final = 256
DEATHS_MAX: Final = 2
"""A work whose batches died so often is run alone; if that one dies too, it is answered with the error."""
POLL_S: Final = 0.2
"""Followers are woken by NOTIFY; this backs it up."""
CATCH_UP_INTERVAL_S: Final = 0.02
"""At most fifty tail reads a second for those who want a 'no' confirmed."""
LOAD_EVENTS_MAX: Final = 5_000
PAUSE_S: Final = 0.1
"""Between two attempts to reach the database."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Writer:
    url: str
    replica: Replica
    queue: Queue
    batch_max: int = BATCH_MAX
    measures: Measures = field(default_factory=Measures)
    on_rewound: Callable[[int, bytes], None] = lambda _position, _hash: None
    """Told, after the rebuild, the position and hash that the log no longer has."""
    catch_ups: list[Callable[[], None]] = field(default_factory=list)
    """Each is called once a read of the tail that began after it was added has been folded."""
    stopping: bool = False
    trouble: str | None = "the log has not been read yet"
    """Why nothing can be decided now; None: all is well."""
    read_at: float = 0.0
    """By `time.monotonic`: when the log was last read to its end."""
    connection: Connection | None = None
    doubt: Batch | None = None
    """A batch whose COMMIT was sent and not answered."""

    def run(self) -> None:
        """The thread's whole life. Nothing that goes wrong ends it but `stopping`."""
        while not self.stopping or len(self.queue) or self.doubt:
            try:
                self.turn()
            except Rewound:
                self._attempt(self.rebuild)
            except Exception as error:  # noqa: BLE001 (a thread that dies takes the gateway with it)
                self._lost(error)
        self._disconnect()

    def turn(self) -> None:
        """One batch; or, with nothing to decide, one wait and a look at the tail."""
        connection = self._connected()
        if self.doubt is not None:
            self._settle_doubt(connection, self.doubt)
        elif works := self.queue.take(self.batch_max, DEATHS_MAX):
            self._decide(connection, works)
        else:
            self._idle(connection)

    # Reading

    def catch_up(self, connection: Connection) -> None:
        """Fold to the end of the log, without the lock, in bounded pieces."""
        asked = len(self.catch_ups)
        _follow(connection, self.replica)
        self._current(asked)

    def rebuild(self) -> None:
        """Fold the log again from its start, beside the old state, and say what was lost."""
        lost = self.replica
        log.error("the log was rewound: the event at position %d is gone or another; rebuilding", lost.position)
        self.trouble = "the log was rewound and is being read again"
        fresh = Replica(lost.org)
        _follow(self._connected(), fresh)
        self.replica = fresh
        self._current(0)
        self.on_rewound(lost.position, lost.hash)

    def _idle(self, connection: Connection) -> None:
        due_at = self.read_at + (CATCH_UP_INTERVAL_S if self.catch_ups else POLL_S)
        heard: list[Any] = []
        if self.queue.fall_asleep():
            heard, _, _ = select.select([connection, self.queue.wake_fd], [], [], max(0.0, due_at - time.monotonic()))
        self.queue.awake()
        if not len(self.queue) and (connection in heard or time.monotonic() >= due_at):
            self.catch_up(connection)

    def _current(self, asked: int) -> None:
        """The log has been read to its end, and so have the first `asked` who waited for that."""
        self.read_at, self.trouble = time.monotonic(), None
        told = self.catch_ups[:asked]
        del self.catch_ups[:asked]
        for tell in told:
            tell()

    # Writing

    def _decide(self, connection: Connection, works: Sequence[Work]) -> None:
        try:
            self._load_missing(connection, works)
            batch = self._commit(connection, works)
        except Exception as error:
            if self.doubt is None or not connection.closed:
                self.doubt = None
                self._give_back(works, error)
            self._disconnect()
            raise
        self.queue.put_back(batch.left)
        answer(batch.outcomes)
        self._answer_repeats(connection, batch.repeats)

    def _load_missing(self, connection: Connection, works: Sequence[Work]) -> None:
        """Load what the commands name and isn't resident: before the lock, in one bounded query."""
        missing = {work.stream for work in works if not self._in_memory(work)}
        if missing:
            load(connection, sorted(missing), self.replica.state, LOAD_EVENTS_MAX)

    def _in_memory(self, work: Work) -> bool:
        try:
            own_state(work, self.replica.state)
        except NotLoaded:
            return False
        return True

    def _commit(self, connection: Connection, works: Sequence[Work]) -> Batch:
        asked = len(self.catch_ups)
        begun = begin(connection, self.replica, [work.idempotency.key for work in works if work.idempotency])
        batch = decide_all(works, self.replica, begun.now, begun.remembered)
        if batch.rows or batch.remembered:
            self.doubt = batch
            write(connection, batch, self.replica.org)
            self.doubt = None
            self._adopt(batch)
        else:
            connection.execute("ROLLBACK")
        self.measures.decided(len(batch.outcomes), len(batch.rows), time.monotonic() - begun.locked_at)
        self._current(asked)
        return batch

    def _adopt(self, batch: Batch) -> None:
        batch.draft.adopt()
        self.replica.position, self.replica.hash = batch.position, batch.hash
        self.replica.evict()

    def _answer_repeats(self, connection: Connection, repeats: Sequence[tuple[Work, Remembered]]) -> None:
        for index, (work, first) in enumerate(repeats):
            try:
                rows = tail_after(connection, first.position - 1, first.events) if first.events else []
            except Exception:
                self.queue.put_back(work for work, _ in repeats[index:])
                raise
            version, state = own_state(work, self.replica.state)
            events = [recorded(row) for row in rows]
            again = Committed(events=events, state=state, position=self.replica.position, version=version, repeated=True)
            answer([(work, again)])

    # When something breaks

    def _settle_doubt(self, connection: Connection, batch: Batch) -> None:
        """My last event stands in the log, or the batch never happened and its commands are asked again."""
        happened = bool(batch.rows) and stands(connection, batch.rows[-1])
        self.doubt = None
        self.measures.doubts += 1
        if happened:
            answer(batch.outcomes)
        again = [] if happened else [work for work, _ in batch.outcomes]
        self.queue.put_back([*again, *(work for work, _ in batch.repeats), *batch.left])

    def _give_back(self, works: Sequence[Work], error: Exception) -> None:
        """The batch died: its commands are asked again, or answered with the error by now."""
        innocent = isinstance(error, Rewound | ClockSkew | psycopg.OperationalError)
        for work in works:
            work.deaths += 0 if innocent else 1
            work.release()
        dead = [work for work in works if work.deaths > DEATHS_MAX and work.claim("writer")]
        answer((work, error) for work in dead)
        self.queue.put_back(work for work in works if work not in dead)

    def _attempt(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """Start again from a new connection; whoever waits too long is told to come back later by `submit`."""
        self.trouble = str(error) if isinstance(error, ClockSkew) else "the log can't be reached"
        level = logging.WARNING if isinstance(error, psycopg.Error | OSError | ClockSkew) else logging.ERROR
        log.log(level, "the log's writer starts again: %s", type(error).__name__, exc_info=level == logging.ERROR)
        self.queue.drop_abandoned()
        self._disconnect()
        time.sleep(PAUSE_S)

    def _connected(self) -> Connection:
        if self.connection is None:
            self.connection = connections.connect(self.url)
            self.measures.connects += 1
        return self.connection

    def _disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


def _follow(connection: Connection, replica: Replica) -> None:
    while True:
        tail = tail_after(connection, replica.position - 1, PAGE_ROWS)
        replica.fold_tail(tail)
        if len(tail) < PAGE_ROWS:
            return
