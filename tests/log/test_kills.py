"""Processes that die or stand still in a batch: nothing acknowledged is lost, nothing is there twice, nobody else waits long."""

import asyncio
import signal
import time
from collections import Counter

import psycopg
import pytest

from adapters.log.postgres_log import PostgresLog
from tests.log.child import STAGES
from tests.log.database import Stored, sound
from tests.log.processes import Child, children
from tests.log.tally import TALLIES, Tally, count

GUARD_S = 1.0
SLACK_S = 0.6
"""For a machine that has other things to do."""


def check(url: str, processes: list[Child]) -> list[Stored]:
    rows = sound(url)
    positions = {row.correlation_id: row.position for row in rows}
    requests = Counter(row.correlation_id for row in rows if "-" in row.correlation_id)
    assert set(requests.values()) <= {1}
    for process in processes:
        assert process.acknowledged.items() <= positions.items()
    return rows


async def test_what_two_killed_processes_acknowledged_is_there_once(log: PostgresLog, database_url: str) -> None:
    all_children = []
    for round_ in range(2):
        with children(*[("count", database_url, f"{round_}{name}") for name in "ab"]) as killed:
            for number, child in enumerate(killed):
                child.wait_for_work(40 + 13 * number)
                child.kill()
            check(database_url, killed)
            all_children += [len(child.acknowledged) for child in killed]
    rows = sound(database_url)
    assert sum(all_children) <= len(rows)
    await log.catch_up()
    assert log.view.get(TALLIES, "hot") == Tally(total=len(rows))
    await count(log, "hot")


@pytest.mark.parametrize("stage", STAGES)
async def test_a_process_killed_at_a_chosen_moment_lets_the_lock_go_at_once(log: PostgresLog, database_url: str, stage: str) -> None:
    with children(("count", database_url, "k", stage, "SIGKILL", "20")) as (child,):
        await asyncio.to_thread(child.process.wait)
        began = time.monotonic()
        await count(log, "a")
        assert time.monotonic() - began < SLACK_S
        rows = check(database_url, [child])
        unanswered = len(rows) - 1 - len(child.acknowledged)
        assert (unanswered > 0) == (stage == "committed") or unanswered <= 8


@pytest.mark.parametrize("stage", STAGES)
async def test_a_process_that_stands_still_holds_others_up_no_longer_than_the_guard(
    log: PostgresLog, database_url: str, stage: str
) -> None:
    with children(("count", database_url, "s", stage, "SIGSTOP", "20")) as (child,):
        await asyncio.to_thread(child.wait_for, "!")
        began = time.monotonic()
        await count(log, "a")
        waited_s = time.monotonic() - began
        assert waited_s < GUARD_S + SLACK_S
        assert (waited_s > GUARD_S - 0.2) == (stage != "committed")  # it did stand still at the lock
        for _ in range(20):
            await count(log, "a")
        before = len(check(database_url, [child]))
        acknowledged = len(child.acknowledged)

        child.process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(child.wait_for_work, acknowledged + 100)
        child.kill()
        assert len(check(database_url, [child])) > before + 50


async def test_a_backend_ended_by_an_administrator_loses_nothing(log: PostgresLog, database_url: str) -> None:
    with children(("count", database_url, "t")) as (child,), psycopg.connect(database_url, autocommit=True) as admin:
        for round_ in range(1, 6):
            await asyncio.to_thread(child.wait_for_work, 60 * round_)
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gateway writer'")
        await asyncio.to_thread(child.wait_for_work, 400)
        child.kill()
        check(database_url, [child])
    await count(log, "a")
