"""That this process lives, and which others do: each holds an advisory lock of PostgreSQL on a connection of its own while it does."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

LOCK_KEY_BITS: Final = 62
WATCH_LOCK: Final = 0x7761_7463_68
"""Held by the one process that watches the others ("watch")."""
CONNECT_TIMEOUT_S: Final = 2
LOOK_S: Final = 2.0
"""Others take a process for dead when its lock was free at every look over 15 s: several looks of ours fit in that."""
ANSWER_WAIT_S: Final = 2.0
PAUSE_S: Final = 0.5
SILENCE_MS_MAX: Final = 8_000
"""The server ends a session that says nothing for so long, and its lock is free: that of a machine that is gone, or a process that stands
still. Longer than any wait between two looks."""
KEEPALIVES: Final[dict[str, int]] = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 5_000}
"""Short, so that we notice soon when the server's machine is gone."""

HELD_LOCKS: Final = """
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""As PostgreSQL splits the key of an advisory lock into two halves."""

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


class PostgresWatch:
    """A `Watch`. Of all that look, one sees: the first to come, until its connection ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._first = False

    async def held_locks(self) -> frozenset[int] | None:
        """After a lost connection it says None once at least: whoever counts looks begins anew."""
        try:
            if self._connection is None:
                self._connection = await _connected(self._url, "gateway watch")
            self._first = self._first or await _taken(self._connection, WATCH_LOCK)
            return frozenset([key for (key,) in await ask(self._connection, HELD_LOCKS)]) if self._first else None
        except psycopg.Error:
            await self.aclose()
            return None

    async def aclose(self) -> None:
        connection, self._connection, self._first = self._connection, None, False
        if connection is not None:
            await connection.close()


async def ask(connection: Connection, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
    """An answer that takes longer than ANSWER_WAIT_S is an error, and the connection's end."""
    patience = asyncio.get_running_loop().call_later(ANSWER_WAIT_S, _hang_up, connection)
    try:
        return await (await connection.execute(query, values)).fetchall()
    finally:
        patience.cancel()


def _hang_up(connection: Connection) -> None:
    """Whoever waits for it hears at once. (A cancelled query would be waited for again.)"""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


async def _connected(url: str, name: str) -> Connection:
    at = make_conninfo(url, connect_timeout=CONNECT_TIMEOUT_S, application_name=name, **KEEPALIVES)
    connection = await psycopg.AsyncConnection.connect(at, autocommit=True)
    try:
        await ask(connection, "SELECT set_config('idle_session_timeout', %s, false)", f"{SILENCE_MS_MAX}ms")
    except BaseException:
        await connection.close()
        raise
    return connection


async def _locked(url: str, lock_key: int) -> Connection:
    connection = await _connected(url, "gateway liveness")
    taken = False
    try:
        taken = await _taken(connection, lock_key)
    finally:
        if not taken:
            await connection.close()
    if not taken:
        raise LockTaken
    return connection


async def _taken(connection: Connection, lock_key: int) -> bool:
    return await ask(connection, "SELECT pg_try_advisory_lock(%s)", lock_key) == [(True,)]


async def _locked_again(url: str, lock_key: int) -> Connection | None:
    try:
        return await _locked(url, lock_key)
    except (psycopg.Error, LockTaken):
        return None


async def _answers(connection: Connection) -> bool:
    try:
        await ask(connection, "SELECT 1")
    except psycopg.Error:
        return False
    return True
