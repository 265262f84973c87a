"""A process's sign of life is a lock that PostgreSQL lets go of when the process is gone, and that comes back after a lost connection.

One process watches the locks of all.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing

import psycopg
import pytest

from adapters import liveness
from adapters.liveness import LOCK_KEY_BITS, LockTaken, PostgresWatch, living
from tests.log.proxy import proxied

WAIT_S = 10.0


def held(url: str, lock_key: int) -> bool:
    with psycopg.connect(url) as looker:
        return looker.execute("SELECT pg_try_advisory_xact_lock(%s)", (lock_key,)).fetchone() == (False,)


def cut(url: str, name: str = "gateway liveness") -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", (name,))


def holders(url: str) -> set[int]:
    """The sessions that hold a lock on this database."""
    with psycopg.connect(url) as looker:
        query = (
            "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE locktype = 'advisory' AND datname = current_database()"
        )
        return {pid for (pid,) in looker.execute(query)}


async def until_held(url: str, lock_key: int, expected: bool = True) -> None:
    async with asyncio.timeout(WAIT_S):
        while await asyncio.to_thread(held, url, lock_key) is not expected:  # noqa: ASYNC110 (a lock tells nobody that it is taken)
            await asyncio.sleep(0.05)


@pytest.fixture
def lock_key() -> int:
    return secrets.randbits(LOCK_KEY_BITS)


async def test_the_lock_is_held_inside_and_free_after(database_url: str, lock_key: int) -> None:
    async with living(database_url, lock_key):
        assert held(database_url, lock_key)
    assert not held(database_url, lock_key)


async def test_an_error_inside_lets_go_of_the_lock(database_url: str, lock_key: int) -> None:
    with pytest.raises(ZeroDivisionError):
        async with living(database_url, lock_key):
            raise ZeroDivisionError
    assert not held(database_url, lock_key)


async def test_nobody_else_can_live_under_the_same_lock(database_url: str, lock_key: int) -> None:
    async with living(database_url, lock_key):
        with pytest.raises(LockTaken):
            async with living(database_url, lock_key):
                pass


async def test_after_a_lost_connection_the_lock_is_taken_again(database_url: str, lock_key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "LOOK_S", 0.05)
    async with living(database_url, lock_key):
        await asyncio.to_thread(cut, database_url)
        await until_held(database_url, lock_key)


async def test_a_database_that_is_away_is_an_error_at_the_start(lock_key: int) -> None:
    with pytest.raises(psycopg.OperationalError):
        async with living("postgresql://127.0.0.1:1/nothing", lock_key):
            pass


async def test_a_process_that_stands_still_loses_its_lock_and_takes_it_again(
    database_url: str, lock_key: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "SILENCE_MS_MAX", 300)
    monkeypatch.setattr(liveness, "LOOK_S", 1.5)
    async with living(database_url, lock_key):
        await until_held(database_url, lock_key, expected=False)
        await until_held(database_url, lock_key)


async def test_a_server_that_does_not_answer_is_not_waited_for(database_url: str, lock_key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "LOOK_S", 0.05)
    monkeypatch.setattr(liveness, "ANSWER_WAIT_S", 0.3)
    with proxied(database_url) as proxy:
        async with living(proxy.url, lock_key):
            before = await asyncio.to_thread(holders, database_url)
            proxy.mute()
            async with asyncio.timeout(WAIT_S):
                while not await asyncio.to_thread(holders, database_url) - before:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await until_held(database_url, lock_key)


@pytest.fixture
async def watch(database_url: str) -> AsyncIterator[PostgresWatch]:
    async with aclosing(PostgresWatch(database_url)) as watch:
        yield watch


async def test_a_watch_sees_whose_locks_are_held(database_url: str, lock_key: int, watch: PostgresWatch) -> None:
    async with living(database_url, lock_key):
        assert lock_key in (await watch.held_locks() or ())
    assert lock_key not in (await watch.held_locks() or {lock_key})


async def test_one_watches_at_a_time_and_another_takes_over(database_url: str, watch: PostgresWatch) -> None:
    async with aclosing(PostgresWatch(database_url)) as other:
        assert await watch.held_locks() is not None
        assert await other.held_locks() is None
        await watch.aclose()
        async with asyncio.timeout(WAIT_S):
            while await other.held_locks() is None:  # noqa: ASYNC110 (a lock tells nobody that it is free)
                await asyncio.sleep(0.02)
        assert await watch.held_locks() is None


async def test_a_watch_that_lost_its_connection_says_nothing_once(database_url: str, watch: PostgresWatch) -> None:
    assert await watch.held_locks() is not None
    await asyncio.to_thread(cut, database_url, "gateway watch")
    assert await watch.held_locks() is None
    assert await watch.held_locks() is not None


async def test_a_watch_whose_database_is_away_says_nothing() -> None:
    async with aclosing(PostgresWatch("postgresql://127.0.0.1:1/nothing")) as watch:
        assert await watch.held_locks() is None
