"""A batch, decided: commands in, rows and outcomes out. No I/O here: everything it needs was read under the lock."""

import logging
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from adapters.log.chain import link
from adapters.log.codec import ForgettableRow, Row, encode, encode_forgettable
from adapters.log.replica import LOADED, Replica, follow
from adapters.log.work import Outcome, Work
from application.ports import Committed
from domain.errors import Conflict, Refusal, VersionMismatch
from domain.fold import VERSIONS
from domain.kernel import Erase, Event, Forgettable, Recorded, Sought
from domain.references import meet
from domain.state import Overlay, Scene, View
from domain.time import unix_micros

EVENTS_MAX: Final = 4_096
BYTES_MAX: Final = 4 * 1024 * 1024
DECIDING_SECONDS_MAX: Final = 0.050

log = logging.getLogger(__name__)


class NotLoaded(Exception):  # noqa: N818
    """The command's stream is not in memory: it waits for the next batch."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an idempotency key did: `events` events from `position` on."""

    digest: bytes
    position: int
    events: int


@dataclass(slots=True)
class Batch:
    """The rows to insert and the outcomes to give once they are durable."""

    draft: Overlay
    now: datetime
    position: int
    hash: bytes
    rows: list[Row] = field(default_factory=list)
    forgettable: dict[Erase, ForgettableRow] = field(default_factory=dict)
    """By what would erase it."""
    erased: list[Erase] = field(default_factory=list)
    remembered: dict[bytes, Remembered] = field(default_factory=dict)
    outcomes: list[tuple[Work, Outcome]] = field(default_factory=list)
    repeats: list[tuple[Work, Remembered]] = field(default_factory=list)
    left: list[Work] = field(default_factory=list)
    """Undecided: they didn't fit, or their stream isn't loaded."""
    bytes: int = 0
    failure: Exception | None = None
    """What went wrong while it was written."""

    @property
    def works(self) -> list[Work]:
        """All that are still waited for, should it come to nothing."""
        return [*(work for work, _ in self.outcomes), *(work for work, _ in self.repeats), *self.left]


class Asked(NamedTuple):
    """What a decider said of one command, encoded but not entered."""

    version: int
    own: Any
    events: list[tuple[Event, bytes]]
    forgettable: list[tuple[Forgettable, ForgettableRow]]
    erased: list[Erase]


def decide_all(
    works: Sequence[Work], replica: Replica, now: datetime, known: dict[bytes, Remembered], found: Mapping[Sought, str]
) -> Batch:
    """Decide in order of arrival, each on top of the one before, until the batch is full. Works whose caller gave up are dropped."""
    batch = Batch(draft=Overlay(replica.state), now=now, position=replica.position, hash=replica.hash)
    for sought, reference in found.items():
        meet(batch.draft, sought, reference)
    began = time.monotonic()
    for index, work in enumerate(works):
        # One at least is decided, or nothing would ever move.
        if index and _full(batch, began):
            batch.left.extend(works[index:])
            break
        if not work.abandoned and work.claim("writer"):
            _attend(work, batch, replica.org, known)
    return batch


def _full(batch: Batch, began: float) -> bool:
    return len(batch.rows) >= EVENTS_MAX or batch.bytes >= BYTES_MAX or time.monotonic() - began >= DECIDING_SECONDS_MAX


def _attend(work: Work, batch: Batch, org: str, known: dict[bytes, Remembered]) -> None:
    try:
        if _repeated(work, batch, known):
            return
        asked = _ask(work, batch)
    except NotLoaded:
        batch.left.append(work)
    except Refusal as refusal:
        batch.outcomes.append((work, refusal))
    except Exception as bug:  # noqa: BLE001 (a bug in one decider is that command's failure alone)
        log.error("deciding %s failed with %s\n%s", type(work.command).__name__, type(bug).__name__, where(bug))  # noqa: TRY400
        batch.outcomes.append((work, bug))
    else:
        # Not in the try: what fails from here on, fails the batch.
        batch.outcomes.append((work, _record(work, asked, batch, org)))
        if work.then is not None:
            _follow_up(work.then, batch, org)


def _follow_up(work: Work, batch: Batch, org: str) -> None:
    """Nobody waits for what becomes of it."""
    try:
        asked = _ask(work, batch)
    except Exception as error:  # noqa: BLE001 (what it follows is decided)
        log.error("deciding %s failed with %s\n%s", type(work.command).__name__, type(error).__name__, where(error))  # noqa: TRY400
    else:
        _record(work, asked, batch, org)


def _repeated(work: Work, batch: Batch, known: dict[bytes, Remembered]) -> bool:
    """True where the command's idempotency key has been used: its first outcome is the answer."""
    if work.idempotency is None:
        return False
    first = batch.remembered.get(work.idempotency.key) or known.get(work.idempotency.key)
    if first is None:
        return False
    if first.digest != work.idempotency.digest:
        raise Conflict("This Idempotency-Key was used for a different request", code="idempotency_key_reused")
    batch.repeats.append((work, first))
    return True


def _ask(work: Work, batch: Batch) -> Asked:
    version, own = own_state(work, batch.draft)
    if work.expected_version is not None and work.expected_version != version:
        raise VersionMismatch(f"It is at version {version}, not {work.expected_version}")
    state = Scene(batch.draft, own) if work.decider.sees_all else own
    said = list(work.decider.decide(work.command, state, batch.now))
    # All is encoded before anything is entered: a command is recorded whole or not at all.
    events = [(item, encode(item)) for item in said if isinstance(item, Event)]
    forgettable = [(item, encode_forgettable(item)) for item in said if isinstance(item, Forgettable)]
    return Asked(version, own, events, forgettable, [item for item in said if isinstance(item, Erase)])


def _record(work: Work, asked: Asked, batch: Batch, org: str) -> Committed:
    recorded = _enter(asked.events, work, asked.version, batch, org)
    _enter_side_rows(asked, batch)
    if work.idempotency is not None:
        first = Remembered(work.idempotency.digest, batch.position - len(recorded) + 1, len(recorded))
        batch.remembered[work.idempotency.key] = first
    state = state_of(work, batch.draft) if recorded else asked.own
    return Committed(events=recorded, state=state, position=batch.position, version=asked.version + len(recorded))


def _enter_side_rows(asked: Asked, batch: Batch) -> None:
    for erase in asked.erased:
        batch.forgettable.pop(erase, None)
        batch.erased.append(erase)
    for item, row in asked.forgettable:
        batch.forgettable[Erase(item.kind, item.reference)] = row
        if item.sought is not None:
            meet(batch.draft, item.sought, str(item.reference))


def own_state(work: Work, view: View) -> tuple[int, Any]:
    """The version and state of the command's stream. Raises NotLoaded."""
    loaded = view.get(LOADED, work.stream)
    if loaded is not None:
        return loaded
    state = view.get(work.decider.kind, work.decider.stream_id(work.command))
    if state is None and not work.command.opens and not work.decider.resident:
        raise NotLoaded
    return view.get(VERSIONS, work.stream) or 0, state


def state_of(work: Work, view: View) -> Any:
    """The entity's state as it is in memory; None where it isn't there, as a run that has ended."""
    loaded = view.get(LOADED, work.stream)
    return view.get(work.decider.kind, work.decider.stream_id(work.command)) if loaded is None else loaded.state


def _enter(events: Iterable[tuple[Event, bytes]], work: Work, version: int, batch: Batch, org: str) -> list[Recorded[Any]]:
    entered = []
    at_micros = unix_micros(batch.now)
    for event, state in events:
        version += 1
        batch.position += 1
        batch.hash = link(
            batch.hash,
            batch.position,
            version,
            work.stream,
            event.topic,
            at_micros,
            org,
            work.by,
            work.correlation_id,
            work.causation_id,
            state,
        )
        envelope = (batch.position, work.stream, version, event.topic, batch.now, org, work.by, work.correlation_id, work.causation_id)
        batch.rows.append(Row(*envelope, state, batch.hash))
        batch.bytes += len(state)
        recorded = Recorded(*envelope, event, batch.hash)
        follow(batch.draft, recorded, org)
        entered.append(recorded)
    return entered


def where(error: BaseException) -> str:
    """An error's trace without its own text, which may quote what a client sent."""
    return "".join(traceback.format_tb(error.__traceback__))
