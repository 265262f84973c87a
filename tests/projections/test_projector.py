"""The projector under way: follows, is killed, is replaced, is rewound, and carries on without a read model that fails."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from adapters.projecting import projector as module
from adapters.projecting.comparing import compare
from adapters.projecting.projector import Projector
from domain.team.events import TeamCreated, TeamRenamed
from projections import READ_MODELS, teams
from projections.tables import Table
from tests import examples as a
from tests.projections.handwritten import HandwrittenLog, place, projected, rows
from tests.projections.test_batches import life

WAIT_S_MAX = 20.0


def until(true: Callable[[], bool], within_s: float = WAIT_S_MAX) -> float:
    """The seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s
        time.sleep(0.005)
    return time.monotonic() - began


@contextmanager
def projecting(url: str, models: Sequence[Any] = READ_MODELS) -> Iterator[Projector]:
    projector = Projector(url, models)
    projector.start()
    try:
        yield projector
    finally:
        projector.stop()


@contextmanager
def child(what: str, url: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.projections.child", what, url], stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def busy(log: HandwrittenLog, completions: int, first: int = 0) -> None:
    """Each begins well before the one before it has ended."""
    lives = [life(number, "b", "settled", raised=False) for number in range(first, first + completions)]
    log.write(*(each[0] for each in lives), *(each[-1] for each in lives))


def test_what_is_appended_is_in_the_read_models_within_milliseconds(log: HandwrittenLog) -> None:
    with projecting(log.url) as projector:
        until(lambda: projector.active)
        delays = []
        for number in range(10):
            log.write(("team/a", a.team_created(name=str(number))))
            delays.append(until(lambda: projector.standings()["teams"].position == log.position))
        assert sorted(delays)[5] < 0.1
        assert (projector.lag, projector.trouble) == (0, None)
        assert rows(log.url, "teams", "name") == [("9",)]


def test_when_the_notification_is_lost_the_poll_finds_it(log: HandwrittenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANNEL", "elsewhere")
    with projecting(log.url) as projector:
        until(lambda: projector.active)
        log.write(("team/a", a.team_created()))
        until(lambda: projector.standings()["teams"].position == 1, within_s=2.0)


def test_killed_in_the_middle_a_stand_by_takes_over_and_nothing_is_skipped_or_repeated(log: HandwrittenLog) -> None:
    log.write(("budget/b", a.budget_opened()))
    busy(log, 600)
    with child("project", log.url) as active:
        until(lambda: _position(log.url) > 100)
        with projecting(log.url) as stand_by:
            until(lambda: bool(stand_by.standings()))
            assert not stand_by.active
            middle = _position(log.url)
            active.kill()
            assert until(lambda: stand_by.active) < 2.0
            assert 100 < middle < log.position
            until(lambda: stand_by.lag == 0 and stand_by.head == log.position)
    comparison = compare(log.url, READ_MODELS)
    assert comparison.differences == []
    assert set(comparison.positions.values()) == {log.position}


def _position(url: str) -> int:
    try:
        return place(url, "usage").position
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, KeyError):
        return 0


def test_a_rewound_log_is_projected_from_its_beginning(log: HandwrittenLog) -> None:
    log.write(("budget/b", a.budget_opened()), ("team/kept", a.team_created()))
    end = log.position, log.hash, dict(log.versions)
    busy(log, 5)
    with projecting(log.url) as projector:
        until(lambda: projector.active and projector.lag == 0 and projector.head == log.position)
        with psycopg.connect(log.url, autocommit=True) as database:
            database.execute("DELETE FROM stored_events WHERE notification_id > %s", (end[0],))
        log.position, log.hash, log.versions = end
        log.write(("team/other", a.team_created()))
        until(lambda: place(log.url, "completions") == (log.position, log.hash))
        until(lambda: projector.lag == 0)
    assert rows(log.url, "completions") == []
    assert [team for (team,) in rows(log.url, "teams", "id")] == ["kept", "other"]
    assert compare(log.url, READ_MODELS).differences == []


class Fragile:
    """A read model that can't stand a certain name."""

    NAME = "fragile"
    EVENTS = (TeamCreated, TeamRenamed)
    NAMES = Table("fragile", key={"position": "bigint"}, values={"name": "text"})
    TABLES = (NAMES,)

    def __init__(self, breaks_at: str) -> None:
        self.breaks_at: str | None = breaks_at

    def project(self, batch: Sequence[Any], cursor: Any) -> None:
        self.NAMES.save(cursor, {(recorded.position,): {"name": recorded.event.name} for recorded in batch})
        if any(recorded.event.name == self.breaks_at for recorded in batch):
            raise ZeroDivisionError


def test_one_that_fails_is_named_and_tried_again_while_the_others_go_on(log: HandwrittenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S_MIN", 0.05)
    fragile = Fragile(breaks_at="A6")
    log.write(("team/a", a.team_created()), *(("team/a", a.team_renamed(name=f"A{number}")) for number in range(20)))
    with projecting(log.url, (teams, fragile)) as projector:
        until(lambda: projector.standings().get("teams", SimpleNamespace(position=0)).position == log.position)
        until(lambda: projector.standings()["fragile"].trouble == "ZeroDivisionError at position 8")
        log.write(("team/a", a.team_renamed(name="last")))
        until(lambda: projector.standings()["teams"].position == log.position)
        assert projector.standings()["fragile"].position == 7
        assert len(rows(log.url, "fragile")) == 7
        fragile.breaks_at = None
        until(lambda: projector.standings()["fragile"] == (log.position, None))
    assert len(rows(log.url, "fragile")) == 22
    assert rows(log.url, "teams", "name") == [("last",)]


def test_a_read_model_with_a_new_name_is_built_beside_the_others(log: HandwrittenLog) -> None:
    log.write(("team/a", a.team_created()), ("team/a", a.team_renamed()))
    projected(log.url, models=(teams,))
    with projecting(log.url, (teams, Fragile(breaks_at=""))) as projector:
        until(lambda: bool(projector.standings()) and projector.lag == 0 and projector.head == 2)
    assert len(rows(log.url, "fragile")) == 2
