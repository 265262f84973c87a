"""This process's replica of the log: resident state, and up to where it is folded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

import psycopg

from adapters.log import statements
from adapters.log.chain import GENESIS
from adapters.log.codec import recorded
from domain.deciders import DECIDER_OF_CATEGORY
from domain.fold import fold
from domain.kernel import Recorded
from domain.references import REFERENCES, SOUGHT
from domain.state import Kind, Overlay, State, View
from domain.time import EPOCH

PAGE_ROWS = 5_000
"""Keyset pages of this size read fastest (a million rows a second, undecoded)."""
TAIL_MAX = 1_000
"""More rows behind than this, and a process catches up without the lock first."""
LOADED_MAX = 10_000
"""Streams kept in memory that aren't resident."""
REFERENCES_MAX = 50_000
"""Forgettable payloads whose reference is kept in memory, at some 400 bytes each; that of others is looked up when they are sought."""


class Loaded(NamedTuple):
    """A stream that isn't resident, read because a command named it."""

    version: int
    state: Any


LOADED: Final = Kind[str, Loaded]("loaded")

Connection = psycopg.Connection[tuple[Any, ...]]


class Rewound(Exception):  # noqa: N818
    """The row at our position is missing or not the one that we folded: the log lost its end and went on differently."""


@dataclass(slots=True)
class Replica:
    org: str
    state: State = field(default_factory=State)
    position: int = 0
    hash: bytes = GENESIS
    at: datetime = EPOCH
    """When the event at our position was decided."""

    def fold_tail(self, tail: Sequence[Sequence[Any]]) -> None:
        """Fold what a TAIL statement answered; its first row is the one at our position. Raises Rewound before anything is folded."""
        if self.position:
            if not tail or tail[0][0] != self.position or tail[0][-1] != self.hash:
                raise Rewound
            tail = tail[1:]
        self.fold(tail)

    def fold(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            follow(self.state, recorded(row), self.org)
            self.position, self.hash, self.at = row[0], row[-1], row[4]

    def keep(self, loaded: Mapping[str, Loaded]) -> None:
        """The youngest LOADED_MAX of the loaded streams stay."""
        for stream, entry in loaded.items():
            self.state.put(LOADED, stream, entry)
        self._shorten(LOADED, LOADED_MAX)

    def adopt(self, draft: Overlay) -> None:
        """What a batch came to. Of those whom it met, the youngest REFERENCES_MAX stay."""
        draft.adopt()
        for kind in (REFERENCES, SOUGHT):
            self._shorten(kind, REFERENCES_MAX)

    def _shorten(self, kind: Kind[Any, Any], length_max: int) -> None:
        table = self.state.tables.get(kind.name, {})
        for key in list(islice(table, max(0, len(table) - length_max))):
            del table[key]


def follow(view: View, event: Recorded[Any], org: str) -> None:
    """One event, into resident state and into its stream's loaded state, if it is loaded. Other organisations are not ours."""
    if event.org != org:
        return
    fold(view, event)
    loaded = view.get(LOADED, event.stream)
    if loaded is not None and event.version > loaded.version:
        view.put(LOADED, event.stream, _evolved(loaded, event))


def read_to_end(connection: Connection, replica: Replica) -> None:
    """Fold whatever the log has by now, without the lock, in bounded pieces."""
    while True:
        tail = tail_after(connection, replica.position - 1, PAGE_ROWS)
        replica.fold_tail(tail)
        if len(tail) < PAGE_ROWS:
            return


def tail_after(connection: Connection, position: int, limit: int) -> list[tuple[Any, ...]]:
    return connection.execute(statements.TAIL, (position + 1, limit), prepare=True, binary=True).fetchall()


def load(connection: Connection, streams: Sequence[str], replica: Replica, events_max: int) -> str | None:
    """Read whole streams, each folded by its own decider, into LOADED. A stream without rows is loaded too: as empty.

    When the answer is cut at `events_max`, what it doesn't hold whole is left for the next time. Answers the name of a stream that alone
    has more events than that: it can't be loaded.
    """
    rows = connection.execute(statements.STREAMS, (list(streams), events_max + 1), prepare=True, binary=True).fetchall()
    cut = rows[-1][1] if len(rows) > events_max else None
    entries = {} if cut else dict.fromkeys(streams, Loaded(0, None))
    for event in map(recorded, rows):
        if event.stream != cut:
            entries[event.stream] = _evolved(entries.get(event.stream, Loaded(0, None)), event)
    replica.keep(entries)
    return cut if cut and cut == rows[0][1] else None


def _evolved(loaded: Loaded, event: Recorded[Any]) -> Loaded:
    decider = DECIDER_OF_CATEGORY.get(event.stream.split("/", 2)[1])
    state = loaded.state if decider is None else decider.evolve(loaded.state, event)
    return Loaded(event.version, state)
