"""That this process lives: an advisory lock of PostgreSQL, held on a connection of its own for as long as it does."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

LOCK_KEY_BITS: Final = 62
CONNECT_TIMEOUT_S: Final = 2
LOOK_S: Final = 2.0
"""Others take a process for dead when its lock was free at every look over 15 s: several looks of ours fit in that."""
ANSWER_WAIT_S: Final = 2.0
PAUSE_S: Final = 0.5
KEEPALIVES: Final[dict[str, int]] = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 5_000}
"""Short, so that the server lets go of the lock soon after this machine is gone."""

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

log = logging.getLogger(__name__)


class LockTaken(Exception):  # noqa: N818 (it reads as what is the case)
    """Another session holds the lock: mostly our own former connection, whose end the server hasn't noticed yet."""


@asynccontextmanager
async def living(url: str, lock_key: int) -> AsyncIterator[None]:
    """Held inside; a lost connection is replaced and the lock taken again, in the background. Raises when it can't be had at first."""
    sign = Sign(url, lock_key, await _locked(url, lock_key))
    keeping = asyncio.create_task(sign.keep(), name="liveness")
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await sign.drop()


@dataclass(slots=True)
class Sign:
    """The sign of life: the lock, and the connection that holds it just now."""

    url: str
    lock_key: int
    connection: Connection | None

    async def keep(self) -> None:
        while True:
            if self.connection is None:
                self.connection = await _locked_again(self.url, self.lock_key)
            elif not await _answers(self.connection):
                log.warning("the connection that shows this process to be alive is lost; taking its lock again")
                await self.drop()
                continue
            await asyncio.sleep(PAUSE_S if self.connection is None else LOOK_S)

    async def drop(self) -> None:
        if self.connection is not None:
            await self.connection.close()
            self.connection = None


async def _locked(url: str, lock_key: int) -> Connection:
    at = make_conninfo(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="gateway liveness", **KEEPALIVES)
    connection = await psycopg.AsyncConnection.connect(at, autocommit=True)
    try:
        await _lock(connection, lock_key)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _lock(connection: Connection, lock_key: int) -> None:
    async with asyncio.timeout(ANSWER_WAIT_S):
        taken = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key,))).fetchone()
    if taken != (True,):
        raise LockTaken


async def _locked_again(url: str, lock_key: int) -> Connection | None:
    try:
        return await _locked(url, lock_key)
    except (psycopg.Error, TimeoutError, LockTaken):
        return None


async def _answers(connection: Connection) -> bool:
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            await connection.execute("SELECT 1")
    except (psycopg.Error, TimeoutError):
        return False
    return True
