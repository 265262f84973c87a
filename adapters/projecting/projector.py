"""The projector: one of an installation is active, follows the log and advances all read models in one pass; others stand by."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final, NamedTuple

import psycopg

from adapters.log.connection import CONNECT_TIMEOUT_S, KEEPALIVES
from adapters.log.recorder import LogRecorder
from adapters.log.statements import CHANNEL
from adapters.projecting.advancing import (
    LIVE,
    SESSION,
    Batch,
    Connection,
    Overtaken,
    ReadModel,
    Rewound,
    Tracked,
    advance,
    prepare,
    read,
    reset,
    tracked,
    without_collector,
)

PROJECTOR_LOCK: Final = 0x6C65_6467_6572_0002
"""A session's: whose connection ends, has it no longer."""
LIVE_MAX: Final = 1_000
CATCH_UP_MAX: Final = 5_000
"""Events in a transaction, while following the log and while far behind it."""
POLL_S: Final = 0.25
"""Should a notification be lost; and how soon a request to stop is heard."""
PACE_S: Final = 0.05
"""Between two transactions of a projector that keeps up, so that a busy log is projected in batches and not event by event."""
STAND_BY_S: Final = 0.5
BACK_OFF_S_MIN: Final = 0.5
BACK_OFF_S_MAX: Final = 30.0
FAILURES_COUNTED_MAX: Final = 10
LOCK_WAIT_S: Final = 5
KEEPALIVE_SESSION: Final = "-c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3"
"""So that a stand-by takes over soon after the active one's machine is gone."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trouble:
    """A read model that can't be advanced. The others go on; it is tried in ever smaller steps, which find the event to blame."""

    reason: str = ""
    limit: int = LIVE_MAX
    failures: int = 0
    """Of that event alone."""
    again_at: float = 0.0


class Standing(NamedTuple):
    position: int
    trouble: str | None


@dataclass(slots=True)
class Projector:
    """`run` until told to stop, or `start` and `stop` a thread of its own. Read models are made when they aren't there."""

    url: str
    models: Sequence[ReadModel]
    active: bool = False
    trouble: str | None = None
    """Why nothing is projected at all."""
    head: int = 0
    """Of the log, as last seen."""
    _places: dict[str, Tracked] = field(default_factory=dict)
    _troubles: dict[str, Trouble] = field(default_factory=dict)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        self._thread = Thread(target=self.run, args=(self._stop,), name="projector", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def standings(self) -> Mapping[str, Standing]:
        """By name. Positions are those that this process has seen."""
        places, troubles = dict(self._places), dict(self._troubles)
        return {name: Standing(place.position, troubles[name].reason if name in troubles else None) for name, place in places.items()}

    @property
    def lag(self) -> int:
        """Events that the slowest read model is behind."""
        return max([0, *(self.head - place.position for place in list(self._places.values()))])

    def run(self, stop: Event) -> None:
        pause_s = BACK_OFF_S_MIN
        while not stop.is_set():
            try:
                with _connected(self.url) as connection:
                    prepare(connection, LIVE, self.models)
                    pause_s = BACK_OFF_S_MIN
                    if self._becomes_active(connection, stop):
                        self._follow(connection, stop)
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not end the projector)
                self.trouble = type(error).__name__
                log.warning("the projector stopped and begins again in %.1f s: %s", pause_s, self.trouble)
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, BACK_OFF_S_MAX)
            finally:
                self.active = False

    def _becomes_active(self, connection: Connection, stop: Event) -> bool:
        while not stop.is_set():
            if connection.execute("SELECT pg_try_advisory_lock(%s)", (PROJECTOR_LOCK,)).fetchall()[0][0]:
                return True
            self._places = tracked(connection)
            stop.wait(STAND_BY_S)
        return False

    def _follow(self, connection: Connection, stop: Event) -> None:
        log.info("projecting %d read models", len(self.models))
        recorder = LogRecorder(self.url, connections=1)
        try:
            connection.execute(f"LISTEN {CHANNEL}".encode())
            self._places = self._mine(connection)
            self.active, self.trouble, self._troubles = True, None, {}
            while not stop.is_set():
                if self._turn(connection, recorder):
                    stop.wait(PACE_S if self.lag < LIVE_MAX else 0)
                    _hear_news(connection, within_s=0)
                else:
                    _hear_news(connection, within_s=POLL_S)
        finally:
            recorder.close()

    def _turn(self, connection: Connection, recorder: LogRecorder) -> bool:
        """Whoever is behind, in small steps up to the others; once level they go on together. Answers whether anything moved."""
        self.head = recorder.head()
        *behind, front = self._groups() or [(Tracked(), [])]
        moved = [self._advance(connection, recorder, place, models, until=front[0].position) for place, models in behind]
        level = [model for _, models in behind for model in models if self._places[model.NAME] == front[0]]
        if level:
            self._recovered(level)
            return True
        return self._advance(connection, recorder, *front) or any(moved)

    def _groups(self) -> list[tuple[Tracked, list[ReadModel]]]:
        """By place, ascending; those in trouble alone, and only when it is time."""
        groups: dict[tuple[Tracked, str], list[ReadModel]] = {}
        for model in self.models:
            trouble = self._troubles.get(model.NAME)
            if trouble is None or trouble.again_at <= time.monotonic():
                groups.setdefault((self._places[model.NAME], model.NAME if trouble else ""), []).append(model)
        return [(place, groups[place, name]) for place, name in sorted(groups, key=lambda group: (group[0], not group[1]))]

    def _advance(
        self, connection: Connection, recorder: LogRecorder, place: Tracked, models: list[ReadModel], until: int | None = None
    ) -> bool:
        try:
            with without_collector():
                batch = read(recorder, place, self._limit(place, models, until), models, until=until) if models else None
                if batch is not None:
                    self._apply(connection, models, batch)
        except Rewound:
            log.warning("the log was rewound: %s are built again", ", ".join(model.NAME for model in models))
            for model in models:
                reset(connection, model)
        except Overtaken:
            pass
        else:
            return batch is not None
        self._places = self._mine(connection)
        return True

    def _limit(self, place: Tracked, models: list[ReadModel], until: int | None) -> int:
        """Large steps are for when nobody waits for fresh answers anyway."""
        trouble = self._troubles.get(models[0].NAME)
        if trouble is not None:
            return trouble.limit
        return LIVE_MAX if until is not None or self.head - place.position <= LIVE_MAX else CATCH_UP_MAX

    def _apply(self, connection: Connection, models: list[ReadModel], batch: Batch) -> None:
        """Together; where that fails, each alone, so that one that fails stops no other."""
        try:
            advance(connection, models, batch)
            self._moved(models, batch)
        except Overtaken:
            raise
        except Exception as error:
            if connection.broken:
                raise
            if len(models) == 1:
                self._failed(models[0], batch, error)
                return
            for model in models:
                self._apply(connection, [model], batch)

    def _moved(self, models: list[ReadModel], batch: Batch) -> None:
        for model in models:
            self._places[model.NAME] = batch.end
            trouble = self._troubles.get(model.NAME)
            if trouble is None:
                continue
            trouble.limit, trouble.failures = 2 * trouble.limit, 0
            if trouble.limit > LIVE_MAX or batch.end.position >= self.head:
                self._recovered([model])

    def _recovered(self, models: list[ReadModel]) -> None:
        for model in models:
            if self._troubles.pop(model.NAME, None):
                log.info("the read model %s is advanced again", model.NAME)

    def _failed(self, model: ReadModel, batch: Batch, error: Exception) -> None:
        """The error's own text may quote an event, so it isn't told."""
        trouble = self._troubles.setdefault(model.NAME, Trouble())
        at = f"position {batch.end.position}" if batch.rows == 1 else f"positions {batch.start.position + 1} to {batch.end.position}"
        trouble.reason = f"{type(error).__name__} at {at}"
        if batch.rows > 1:
            trouble.limit = batch.rows // 2
            return
        trouble.again_at = time.monotonic() + min(BACK_OFF_S_MIN * 2**trouble.failures, BACK_OFF_S_MAX)
        trouble.failures = min(trouble.failures + 1, FAILURES_COUNTED_MAX)
        log.error("the read model %s can't be advanced: %s", model.NAME, trouble.reason)

    def _mine(self, connection: Connection) -> dict[str, Tracked]:
        there = tracked(connection)
        return {model.NAME: there[model.NAME] for model in self.models}


def _connected(url: str) -> Connection:
    session = f"{SESSION} -c search_path={LIVE} -c lock_timeout={LOCK_WAIT_S}s {KEEPALIVE_SESSION}"
    return psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, options=session, application_name="gateway projector", **KEEPALIVES
    )


def _hear_news(connection: Connection, *, within_s: float) -> None:
    """Returns with the first. All that have come are taken, so that they don't pile up."""
    for _ in connection.notifies(timeout=within_s, stop_after=1):
        pass
