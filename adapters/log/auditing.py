"""Verifying a log: its positions, versions, times and hashes row by row, then what its events say."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import psycopg

from adapters.liveness import HELD_LOCKS
from adapters.log import statements
from adapters.log.chain import GENESIS, link
from adapters.log.codec import recorded
from domain.audit import Books, BudgetMoney, Finding, abandoned, budgets, enter
from domain.kernel import Recorded
from domain.time import EPOCH, unix_micros

PAGE_ROWS: Final = 5_000
FINDINGS_MAX: Final = 1_000
"""More are counted and not kept: a log that is broken everywhere needs no longer list."""
CONNECT_TIMEOUT_S: Final = 10

HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM stored_events"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(slots=True)
class Chain:
    """How far the rows have been followed."""

    position: int = 0
    hash: bytes = GENESIS
    at: datetime = EPOCH
    versions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Findings:
    kept: list[Finding] = field(default_factory=list)
    count: int = 0

    def extend(self, found: Iterator[Finding]) -> None:
        for finding in found:
            self.count += 1
            if len(self.kept) < FINDINGS_MAX:
                self.kept.append(finding)


class Report(NamedTuple):
    """What verifying came to. Whoever keeps `position` and `hash` elsewhere can show later that nothing before them was changed."""

    position: int
    hash: bytes
    books: Books
    budgets: list[BudgetMoney]
    findings: list[Finding]
    findings_count: int

    @property
    def verified(self) -> bool:
        return not self.findings_count


def verify(url: str, on_progress: Callable[[int, int], None] = lambda _position, _head: None) -> Report:
    """Read the whole log; `on_progress` is told the position reached and the head. What is appended meanwhile is read too."""
    chain, books, findings = Chain(), Books(), Findings()
    with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="gateway verify") as connection:
        connection.execute("SET default_transaction_read_only = on")
        _read(connection, chain, books, findings, on_progress)
        looked_at = chain.position
        held_locks = frozenset(key for (key,) in connection.execute(HELD_LOCKS).fetchall())
        # Once more: a process without its lock may have settled everything and stopped just before.
        _read(connection, chain, books, findings, on_progress)
    findings.extend(abandoned(books, held_locks, until_position=looked_at))
    ordered = sorted(findings.kept)
    return Report(chain.position, chain.hash, books, budgets(books, datetime.now(UTC)), ordered, findings.count)


def _read(connection: Connection, chain: Chain, books: Books, findings: Findings, on_progress: Callable[[int, int], None]) -> None:
    head = int(connection.execute(HEAD).fetchall()[0][0])
    while rows := _page(connection, chain.position):
        findings.extend(follow(chain, rows))
        for row in rows:
            findings.extend(_entered(books, recorded(row)))
        on_progress(chain.position, max(head, chain.position))
        if len(rows) < PAGE_ROWS:
            return


def _entered(books: Books, event: Recorded[Any]) -> Iterator[Finding]:
    """What an event says, found to be absurd, must not keep the rest from being verified."""
    try:
        yield from enter(books, event)
    except Exception as error:  # noqa: BLE001
        yield Finding(event.position, f"{event.topic} of {event.stream} makes no sense ({type(error).__name__})")


def _page(connection: Connection, after: int) -> list[tuple[Any, ...]]:
    return connection.execute(statements.TAIL, (after + 1, PAGE_ROWS), prepare=True, binary=True).fetchall()


def follow(chain: Chain, rows: Sequence[Sequence[Any]]) -> Iterator[Finding]:
    """Each row is checked against the *stored* hash of the one before, so that one changed row is one finding and not all that follow."""
    last_position, last_hash, last_at, versions = chain.position, chain.hash, chain.at, chain.versions
    for position, stream, version, topic, at, org, by, correlation_id, causation_id, state, stored in rows:
        if position != last_position + 1:
            yield Finding(last_position + 1, _missing(last_position + 1, position - 1))
        elif stored != link(last_hash, position, version, stream, topic, unix_micros(at), org, by, correlation_id, causation_id, state):
            yield Finding(position, f"the hash does not fit: {topic} of {stream}, or the event before it, is not what was recorded")
        if version != versions.get(stream, 0) + 1:
            yield Finding(position, f"{stream} goes from version {versions.get(stream, 0)} to {version}")
        if at < last_at:
            yield Finding(position, f"it is dated {at.isoformat()}, before the event in front of it")
        versions[stream] = version
        last_position, last_hash, last_at = position, stored, at
    chain.position, chain.hash, chain.at = last_position, last_hash, last_at


def _missing(first: int, last: int) -> str:
    return f"the event at position {first} is missing" if first == last else f"the events at positions {first} to {last} are missing"
