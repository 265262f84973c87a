"""Read models are built again beside those that are asked, and compared with the log."""

import time
from threading import Event, Thread

import pytest

from adapters.projecting import advancing, replaying
from adapters.projecting.comparing import compare
from adapters.projecting.replaying import ReplayUnderWay, replay
from projections import READ_MODELS, teams, usage
from tests import examples as a
from tests.projections.handwritten import HandwrittenLog, connected, everything, place, projected, rows
from tests.projections.test_projector import busy, child, projecting, until


def test_what_is_built_again_is_the_same(log: HandwrittenLog) -> None:
    log.write(("budget/b", a.budget_opened()))
    busy(log, 40)
    projected(log.url)
    before = everything(log.url)
    told: list[tuple[int, int]] = []
    assert replay(log.url, READ_MODELS, lambda position, head: told.append((position, head))) == log.position
    assert told[-1] == (log.position, log.position)
    assert everything(log.url) == before
    assert place(log.url, "usage") == (log.position, log.hash)


def test_a_damaged_one_is_named_and_mended_alone(log: HandwrittenLog) -> None:
    log.write(("budget/b", a.budget_opened()), ("team/a", a.team_created()), ("team/b", a.team_created()))
    busy(log, 3)
    projected(log.url)
    with connected(log.url) as database:
        database.execute("UPDATE teams SET name = 'forged' WHERE id = 'a'")
        database.execute("INSERT INTO teams SELECT org, 'invented', name FROM teams WHERE id = 'a'")
        database.execute("DELETE FROM teams WHERE id = 'b'")
        database.execute("UPDATE usage_hours SET requests = requests + 1")
    found = [(read_model, message.split(") ")[-1]) for read_model, message in compare(log.url, READ_MODELS).differences]
    expected = [("teams", "is not what the log says"), ("teams", "is missing"), ("teams", "does not follow from the log")]
    assert found == [*expected, ("usage", "is not what the log says"), *[("usage", "is not what the log says")] * (len(found) - 4)]
    replay(log.url, (teams,))
    assert {read_model for read_model, _ in compare(log.url, READ_MODELS).differences} == {"usage"}
    replay(log.url, (usage,))
    assert compare(log.url, READ_MODELS).differences == []


def test_nothing_is_compared_where_nothing_is_built(log: HandwrittenLog) -> None:
    assert compare(log.url, READ_MODELS) == ({}, [])


def test_no_answer_goes_back_while_read_models_are_built_again_under_load(log: HandwrittenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advancing, "PAGE_ROWS", 100)
    log.write(("budget/b", a.budget_opened()))
    busy(log, 300)
    projected(log.url)
    stop = Event()
    wrong: list[str] = []
    asked = [0]

    def append() -> None:
        first = 300
        while not stop.is_set():
            busy(log, 5, first)
            first += 5
            time.sleep(0.01)

    def ask() -> None:
        """As many as the tracked position says, and never fewer than before."""
        last = 0
        with connected(log.url) as connection:
            connection.execute("SET default_transaction_isolation = 'repeatable read'")
            while not stop.is_set():
                with connection.transaction():
                    connection.execute("LOCK TABLE completions, usage_hours IN ACCESS SHARE MODE")
                    ((position, requests, ended),) = connection.execute(
                        "SELECT (SELECT position FROM tracking WHERE name = 'usage'), "
                        "(SELECT sum(requests) FROM usage_hours), (SELECT count(*) FROM completions WHERE status = 'settled')"
                    ).fetchall()
                settled = settled_by(position)
                if position < last or not requests == ended == settled:
                    wrong.append(f"{last} {position} {requests} {ended} {settled}")
                last, asked[0] = position, asked[0] + 1

    def settled_by(position: int) -> int:
        return sum(row.topic == "completion.settled.v1" for row in log.rows[:position])

    with projecting(log.url):
        threads = [Thread(target=append), Thread(target=ask)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        for _ in range(3):
            replay(log.url, READ_MODELS)
        stop.set()
        for thread in threads:
            thread.join()
        until(lambda: place(log.url, "usage").position == log.position)
    assert wrong == []
    assert asked[0] > 20
    assert compare(log.url, READ_MODELS).differences == []


def test_killed_in_the_middle_it_leaves_the_old_ones_and_the_next_one_begins_anew(log: HandwrittenLog) -> None:
    log.write(("budget/b", a.budget_opened()))
    busy(log, 300)
    projected(log.url)
    before = everything(log.url)
    with child("replay", log.url) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 200:
            pass
        with pytest.raises(ReplayUnderWay):
            replay(log.url, READ_MODELS)
    assert everything(log.url) == before
    until(lambda: not rows(log.url, "pg_locks", "objid", schema="pg_catalog") or _free(log.url))
    replay(log.url, READ_MODELS)
    assert everything(log.url) == before
    with connected(log.url) as database:
        assert database.execute("SELECT to_regnamespace('read_next')").fetchall() == [(None,)]


def _free(url: str) -> bool:
    with connected(url) as database:
        taken = database.execute("SELECT pg_try_advisory_lock(%s)", (replaying.REPLAY_LOCK,)).fetchall()[0][0]
    return bool(taken)
