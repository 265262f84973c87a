"""The writer: one thread that takes the lock, decides a batch and makes it durable, over and over.

    BEGIN; take the lock, and its guard; read the tail and the time        first round trip
    fold the tail, decide each command on an overlay
    INSERT all events; NOTIFY; COMMIT                                      second round trip
    adopt the overlay, wake the callers

There is no conflict path: nobody else can append until the batch commits. What can go wrong is a second round trip that fails (the
batch is in doubt until the log shows whether it is there) and a log that lost its end (`Rewound`).
"""

import logging
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Final

import psycopg

from adapters.log import connection as connections
from adapters.log.batch import Batch, NotLoaded, Remembered, decide_all, own_state, where
from adapters.log.codec import recorded
from adapters.log.connection import ClockSkew, batch_time, begin, database_time, stands, write
from adapters.log.measures import Measures
from adapters.log.replica import Connection, Replica, Rewound, load, read_to_end, tail_after
from adapters.log.work import Queue, Work, answer
from application.ports import Committed
from domain.errors import Unavailable, Unconfirmed
from domain.kernel import Sought
from domain.references import REFERENCES
from domain.time import EPOCH

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

AWAY: Final = "The log can't be reached. Try again shortly."

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
    stop_by: float | None = None
    """By `time.monotonic`: when to end, even with commands undecided. None: not yet asked to."""
    trouble: str | None = "the log has not been read yet"
    """Why nothing can be decided now; None: all is well."""
    read_at: float = 0.0
    """By `time.monotonic`: when the log was last read to its end."""
    clock: tuple[datetime, float] = EPOCH, 0.0
    """The last batch's time, or what it would have been, and when the database was asked for it, by `time.monotonic`."""
    connection: Connection | None = None
    doubt: Batch | None = None
    """A batch whose second round trip was begun and not answered as it should."""

    def run(self) -> None:
        """The thread's whole life. Nothing that goes wrong ends it but `stop_by`."""
        while not self._ended():
            try:
                self.turn()
            except Rewound:
                self._attempt(self.rebuild)
            except Exception as error:  # noqa: BLE001 (a thread that dies takes the gateway with it)
                self._lost(error)
        self._disconnect()
        self._dismiss()

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
        asked, asked_at = len(self.catch_ups), time.monotonic()
        read_to_end(connection, self.replica)
        self.clock = batch_time(database_time=database_time(connection), head_time=self.replica.at), asked_at
        self._current(asked)

    def rebuild(self) -> None:
        """Fold the log again from its start, beside the old state, and say what was lost."""
        lost = self.replica
        log.error("the log was rewound: the event at position %d is gone or another; rebuilding", lost.position)
        self.trouble = "the log was rewound and is being read again"
        fresh = Replica(lost.org)
        read_to_end(self._connected(), fresh)
        self.replica = fresh
        self._current(0)
        self.on_rewound(lost.position, lost.hash)

    def _idle(self, connection: Connection) -> None:
        due_at = self.read_at + (CATCH_UP_INTERVAL_S if self.catch_ups else POLL_S)
        heard = False
        if self.queue.fall_asleep():
            heard = connection.fileno() in _readable((connection.fileno(), self.queue.wake_fd), due_at - time.monotonic())
        self.queue.awake()
        if not len(self.queue) and (heard or time.monotonic() >= due_at):
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
        asked = len(self.catch_ups)
        try:
            works = self._load_missing(connection, works)
            begun = begin(connection, self.replica, [work.idempotency.key for work in works if work.idempotency], self._unmet(works))
            self.clock = begun.now, begun.asked_at
            works = [*works, *self._latecomers(works)]
            batch = decide_all(works, self.replica, begun.now, begun.remembered, begun.found)
            if not (batch.rows or batch.remembered):
                connection.execute("ROLLBACK")
        except Exception as error:
            self._give_back(works, error)
            raise
        if batch.rows or batch.remembered:
            self._commit(connection, batch)
        self.measures.decided(len(batch.outcomes), len(batch.rows), time.monotonic() - begun.locked_at)
        self.queue.put_back(batch.left)
        answer(batch.outcomes)
        self._current(asked)
        self._answer_repeats(connection, batch.repeats)

    def _latecomers(self, works: Sequence[Work]) -> list[Work]:
        """Who came while we waited for the lock. With several writers that wait is long, and batches without them would be small."""
        if any(work.deaths for work in works):
            return []
        came = self.queue.take(self.batch_max - len(works), DEATHS_MAX)
        # What their keys did and whom they mean has not been looked up.
        ready = list(takewhile(lambda work: not (work.deaths or work.idempotency or self._unmet([work])), came))
        self.queue.put_back(came[len(ready) :])
        return ready

    def _unmet(self, works: Sequence[Work]) -> set[Sought]:
        """What they seek and we don't know."""
        return {sought for work in works for sought in work.seeks if self.replica.state.get(REFERENCES, sought) is None}

    def _commit(self, connection: Connection, batch: Batch) -> None:
        self.doubt = batch
        try:
            write(connection, batch, self.replica.org)
        except Exception as error:
            batch.failure = error
            raise
        self.doubt = None
        self.replica.adopt(batch.draft)
        self.replica.position, self.replica.hash, self.replica.at = batch.position, batch.hash, batch.now

    def _load_missing(self, connection: Connection, works: Sequence[Work]) -> Sequence[Work]:
        """Load what the commands name and isn't resident: before the lock, in one bounded query. Answers those that can go on."""
        missing = {work.stream for work in works if not self._in_memory(work)}
        too_long = load(connection, sorted(missing), self.replica, LOAD_EVENTS_MAX) if missing else None
        if too_long is None:
            return works
        refusal = Unavailable(f"{too_long} has more than {LOAD_EVENTS_MAX} events, which is more than can be loaded")
        answer((work, refusal) for work in works if work.stream == too_long and work.claim("writer"))
        return [work for work in works if work.stream != too_long]

    def _in_memory(self, work: Work) -> bool:
        try:
            own_state(work, self.replica.state)
        except NotLoaded:
            return False
        return True

    def _answer_repeats(self, connection: Connection, repeats: Sequence[tuple[Work, Remembered]]) -> None:
        for index, (work, first) in enumerate(repeats):
            try:
                rows = tail_after(connection, first.position - 1, first.events) if first.events else []
                version, state = own_state(work, self.replica.state)
            except NotLoaded:  # its run ended in this very batch
                self.queue.put_back([work])
                continue
            except Exception:
                self.queue.put_back(work for work, _ in repeats[index:])
                raise
            events = [recorded(row) for row in rows]
            again = Committed(events=events, state=state, position=self.replica.position, version=version, repeated=True)
            answer([(work, again)])

    # When something breaks

    def _settle_doubt(self, connection: Connection, batch: Batch) -> None:
        """My last event stands in the log, or the batch never happened and its commands are asked again."""
        happened = bool(batch.rows) and stands(connection, batch.rows[-1])
        if happened:
            read_to_end(connection, self.replica)  # first, so that callers find in the view what they did
        self.doubt = None
        self.measures.doubts += 1
        if not happened:
            self._give_back(batch.works, batch.failure)
            return
        answer(batch.outcomes)
        self.queue.put_back([*(work for work, _ in batch.repeats), *batch.left])

    def _give_back(self, works: Sequence[Work], error: Exception | None) -> None:
        """The batch died: its commands are asked again, or answered with the error by now."""
        if error is not None and not isinstance(error, Rewound | ClockSkew | psycopg.OperationalError):
            for work in works:
                work.deaths += 1
        dead = {work for work in works if work.deaths > DEATHS_MAX}
        answer((work, error) for work in dead if error is not None)
        self.queue.put_back(work for work in works if work not in dead)

    def _attempt(self, what: Callable[[], None]) -> None:
        self._disconnect()
        try:
            what()
        except Exception as error:  # noqa: BLE001
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """Start again from a new connection; whoever waits too long is told to come back later by `submit`."""
        expected = isinstance(error, psycopg.Error | OSError | ClockSkew)
        trouble = str(error) if isinstance(error, ClockSkew) else "the log can't be reached" if expected else "the log's writer fails"
        if trouble != self.trouble:
            level, trace = (logging.WARNING, "") if expected else (logging.ERROR, f"\n{where(error)}")
            log.log(level, "%s: starting again after %s%s", trouble, type(error).__name__, trace)
        self.trouble = trouble
        self.queue.drop_abandoned()
        self._disconnect()
        time.sleep(PAUSE_S)

    def _ended(self) -> bool:
        if self.stop_by is None:
            return False
        return time.monotonic() >= self.stop_by or not (len(self.queue) or self.doubt)

    def _dismiss(self) -> None:
        """Whoever still waits when the writer ends is told."""
        if self.doubt is not None:
            answer((work, Unconfirmed()) for work in self.doubt.works)
        while works := self.queue.take(self.batch_max, DEATHS_MAX):
            answer((work, Unavailable(AWAY)) for work in works)

    def _connected(self) -> Connection:
        if self.connection is None:
            self.connection = connections.connect(self.url)
            self.measures.connects += 1
        return self.connection

    def _disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


def _readable(descriptors: Sequence[int], timeout_s: float) -> list[int]:
    """By poll: a process with more than a thousand streams has descriptors that select can't take."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(max(0.0, timeout_s) * 1000)]
