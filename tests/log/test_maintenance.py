"""VACUUM (FREEZE) and ANALYZE run while commands are decided: nobody waits for them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from adapters.log.postgres_log import PostgresLog
from tests.log.tally import Count, count

ROWS = 30_000
SECONDS = 1.5
CLIENTS = 8
WAIT_S_MAX = 0.1
ATTEMPTS = 3
"""The machine has other things to do: a pause of its own must not come in each of so many attempts."""

BLOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gateway writer' AND %s = ANY (pg_blocking_pids(pid))
"""


@contextmanager
def repeatedly(statements: list[str], url: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            for statement in statements:
                connection.execute(statement.encode())

    with psycopg.connect(url, autocommit=True) as connection:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield connection
        finally:
            stopping.set()
            thread.join()


async def longest_wait_s(log: PostgresLog, seconds: float) -> float:
    longest, until = 0.0, time.monotonic() + seconds

    async def client(number: int) -> None:
        nonlocal longest
        while (began := time.monotonic()) < until:
            await count(log, f"t{number}")
            longest = max(longest, time.monotonic() - began)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return longest


async def longest_block_s(url: str, blocker: int, seconds: float) -> float:
    """How long the writer was seen to wait for a lock of `blocker`, at a stretch."""
    longest, since, until = 0.0, None, time.monotonic() + seconds
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while (now := time.monotonic()) < until:
            blocked = (await (await connection.execute(BLOCKED, (blocker,))).fetchall())[0][0]
            since = (since or now) if blocked else None
            longest = max(longest, now - since if since else 0.0)
            await asyncio.sleep(0.01)
    return longest


@pytest.mark.parametrize("statement", ["VACUUM (FREEZE) stored_events", "ANALYZE stored_events"])
async def test_no_command_waits_for_maintenance(log: PostgresLog, database_url: str, statement: str) -> None:
    for _ in range(ROWS // 3_000):
        await log.submit(Count(tally_id="a", events=3_000, note="x" * 300), by="key:k", correlation_id="c")
    waits = []
    for _ in range(ATTEMPTS):
        alone_s = await longest_wait_s(log, SECONDS / 3)
        with repeatedly([statement], database_url) as busy:
            waiting, blocking = longest_wait_s(log, SECONDS), longest_block_s(database_url, busy.info.backend_pid, SECONDS)
            waited_s, blocked_s = await asyncio.gather(waiting, blocking)
        assert blocked_s < WAIT_S_MAX
        waits.append((alone_s, waited_s))
        if waited_s - alone_s < WAIT_S_MAX:
            return
    raise AssertionError(f"each time somebody waited: {waits}")
