"""A process's sign of life is a lock that PostgreSQL lets go of when the process is gone, and that comes back after a lost connection."""

import asyncio
import secrets

import psycopg
import pytest

from adapters import liveness
from adapters.liveness import LOCK_KEY_BITS, LockTaken, living

WAIT_S = 10.0


def held(url: str, lock_key: int) -> bool:
    with psycopg.connect(url) as looker:
        return looker.execute("SELECT pg_try_advisory_xact_lock(%s)", (lock_key,)).fetchone() == (False,)


def cut(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gateway liveness'")


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
        async with asyncio.timeout(WAIT_S):
            while not await asyncio.to_thread(held, database_url, lock_key):  # noqa: ASYNC110 (a lock tells nobody that it is taken)
                await asyncio.sleep(0.05)


async def test_a_database_that_is_away_is_an_error_at_the_start(lock_key: int) -> None:
    with pytest.raises(psycopg.OperationalError):
        async with living("postgresql://127.0.0.1:1/nothing", lock_key):
            pass
