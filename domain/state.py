"""Resident state: tables of immutable values, and the overlay in which a batch tries out its changes.

Every process folds the log into one `State`. A batch decides on an `Overlay` of it; only after COMMIT are the overlay's changes adopted,
so that a failed batch leaves no trace and nothing is ever undone by hand. Values are immutable; putting None drops the entry.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

UNCHANGED: Final[Any] = object()
"""Told apart from None, which drops an entry."""


@dataclass(frozen=True)  # with slots too, Python 3.11 fails on Kind[...](...)
class Kind(Generic[K, V]):
    """One table of the resident state: what it holds, by what key."""

    name: str


class View(Protocol):
    """What may be asked of resident state, and changed in it while folding."""

    def get(self, kind: Kind[K, V], key: K) -> V | None: ...

    def put(self, kind: Kind[K, V], key: K, value: V | None) -> None: ...

    def items(self, kind: Kind[K, V]) -> Iterator[tuple[K, V]]: ...


class State:
    """All tables, in memory."""

    __slots__ = ("tables",)

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, Any]] = {}

    def get(self, kind: Kind[K, V], key: K) -> V | None:
        table = self.tables.get(kind.name)
        return None if table is None else table.get(key)

    def put(self, kind: Kind[K, V], key: K, value: V | None) -> None:
        if value is None:
            self.tables.get(kind.name, {}).pop(key, None)
        else:
            self.tables.setdefault(kind.name, {})[key] = value

    def items(self, kind: Kind[K, V]) -> Iterator[tuple[K, V]]:
        """A copy is walked, since another thread may adopt a batch meanwhile."""
        return iter(list(self.tables.get(kind.name, {}).items()))


class Overlay:
    """Changes on top of a view that stays untouched until they are adopted."""

    __slots__ = ("base", "changes")

    def __init__(self, base: View) -> None:
        self.base = base
        self.changes: dict[tuple[str, Any], Any] = {}

    def get(self, kind: Kind[K, V], key: K) -> V | None:
        value = self.changes.get((kind.name, key), UNCHANGED)
        return self.base.get(kind, key) if value is UNCHANGED else value

    def put(self, kind: Kind[K, V], key: K, value: V | None) -> None:
        self.changes[kind.name, key] = value

    def items(self, kind: Kind[K, V]) -> Iterator[tuple[K, V]]:
        changed = {key: value for (name, key), value in self.changes.items() if name == kind.name}
        for key, value in self.base.items(kind):
            if key not in changed:
                yield key, value
        for key, value in changed.items():
            if value is not None:
                yield key, value

    def adopt(self) -> None:
        """Put every change into the view below."""
        for (name, key), value in self.changes.items():
            self.base.put(Kind(name), key, value)
        self.changes = {}


@dataclass(frozen=True, slots=True)
class Scene(Generic[V]):
    """What a decider that crosses aggregates sees: the whole resident state, and its own entity (None: not there)."""

    view: View
    own: V | None
