"""The log's own figures, each beside the floor that the same run measures: bare commits, bare inserts, bare reads."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
import uvloop

from adapters.log import statements
from adapters.log.auditing import Chain, follow
from adapters.log.batch import Batch
from adapters.log.codec import Row
from adapters.log.connection import write
from adapters.log.postgres_log import PostgresLog
from adapters.log.replica import Connection, Replica
from domain.state import Overlay, State
from infra.embedded import start_postgres
from infra.postgres import migrate
from tests.performance import furnishing

SECONDS: Final = 4.0
ROUNDS: Final = 3
T = TypeVar("T")
NATURAL_CALL_S: Final = 0.2
COPIED: Final = 50_000
PAGE_ROWS: Final = 5_000


@dataclass
class Loop:
    """What a closed loop of completions came to."""

    completions: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    admission_ms: list[float] = field(default_factory=list)


async def closed_loop(log: PostgresLog, clients: int, seconds: float, call_s: float = 0.0) -> Loop:
    """Each client admits, waits as long as a call takes, settles, and begins again."""
    loop = Loop()
    until = time.perf_counter() + seconds
    began, cpu = time.perf_counter(), time.process_time()

    async def client() -> None:
        while time.perf_counter() < until:
            admit = furnishing.admission()
            asked = time.perf_counter()
            await log.submit(admit, by="key:bench", correlation_id=admit.completion_id)
            loop.admission_ms.append((time.perf_counter() - asked) * 1000)
            if call_s:
                await asyncio.sleep(call_s)
            await log.submit(furnishing.settlement(admit), by="key:bench", correlation_id=admit.completion_id)
            loop.completions += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    loop.seconds, loop.cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return loop


async def furnished(url: str) -> PostgresLog:
    log = PostgresLog(url)
    await log.start()
    for command in furnishing.commands():
        await log.submit(command, by="system:bench", correlation_id="bench")
    return log


@contextmanager
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="log-bench-", dir="/tmp") as home:
        Path(home).chmod(0o755)
        running = start_postgres(Path(home))
        try:
            yield running.url
        finally:
            running.stop()


def fresh(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {name}".encode())
    there = f"{url.rpartition('/')[0]}/{name}"
    migrate(there)
    return there


def say(name: str, value: str, ratio: str = "") -> None:
    sys.stdout.write(f"    {name:58} {value:>22}   {ratio}\n")
    sys.stdout.flush()


def single_commits_per_second(url: str) -> float:
    """The floor of every durable decision: one row, one commit."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS floor (n bigint)")
        for _ in range(200):
            connection.execute("INSERT INTO floor VALUES (1)", prepare=True)
        began = time.perf_counter()
        for _ in range(2000):
            connection.execute("INSERT INTO floor VALUES (1)", prepare=True)
        return 2000 / (time.perf_counter() - began)


def copied_per_second(url: str, batch: int) -> float:
    """The floor of an append: the log's own rows by COPY BINARY into a table like it, a commit per batch."""
    types = ["text", "int8", "text", "bytea", "int8", "timestamptz", "text", "text", "text", "text", "bytea"]
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT * FROM stored_events ORDER BY notification_id LIMIT %s", (COPIED,), binary=True).fetchall()
        connection.execute("DROP TABLE IF EXISTS floor_copy; CREATE TABLE floor_copy (LIKE stored_events INCLUDING ALL)")
        began = time.perf_counter()
        for first in range(0, len(rows), batch):
            with connection.cursor().copy("COPY floor_copy FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(types)
                for row in rows[first : first + batch]:
                    copy.write_row(row)
        return len(rows) / (time.perf_counter() - began)


def appended_per_second(url: str, batch: int) -> float:
    """The writer's second round trip alone, with the log's own rows: under the lock, decided and hashed already."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = [Row(*row) for row in connection.execute(statements.TAIL, (1, COPIED), binary=True).fetchall()]
        connection.execute("TRUNCATE stored_events")
        began = time.perf_counter()
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            connection.execute("BEGIN")
            write(
                connection,
                Batch(draft=Overlay(State()), now=part[-1].at, position=part[-1].position, hash=part[-1].hash, rows=part),
                "main",
            )
        return len(rows) / (time.perf_counter() - began)


async def one_process(url: str) -> None:
    commits = single_commits_per_second(url)
    say("single-row commits", f"{commits:,.0f}/s")
    log = await furnished(fresh(url, "bench_one"))
    await closed_loop(log, 16, 1.0)
    for clients in (1, 64, 256):
        loops = [await closed_loop(log, clients, SECONDS / 2) for _ in range(ROUNDS)]
        middle = sorted(loops, key=lambda loop: loop.completions / loop.seconds)[ROUNDS // 2]
        p50, p99 = statistics.median(middle.admission_ms), statistics.quantiles(middle.admission_ms, n=100)[98]
        rate, cpu_ms = middle.completions / middle.seconds, middle.cpu_s * 1000 / middle.completions
        say(f"completions/s, {clients} clients", f"{rate:,.0f}/s", f"admission p50 {p50:.2f} p99 {p99:.2f} ms, CPU {cpu_ms:.3f} ms")
        if clients == 1:
            say("admission p50 as a ratio to one commit", f"{p50 * commits / 1000:.1f}")
    natural = await closed_loop(log, 256, SECONDS, call_s=NATURAL_CALL_S)
    say(
        "natural load: 256 clients, calls of 200 ms",
        f"{natural.completions / natural.seconds:,.0f}/s",
        f"admission p50 {statistics.median(natural.admission_ms):.2f} ms, CPU {natural.cpu_s * 1000 / natural.completions:.3f} ms",
    )
    measures = log.writer.measures
    say(
        "commands per batch, time under the lock",
        f"{measures.commands / measures.batches:.1f}",
        f"{measures.lock_seconds * 1000 / measures.batches:.2f} ms",
    )
    await log.stop()


def several_processes(url: str, alone: float, count: int) -> None:
    there = fresh(url, f"bench_{count}")
    run(_furnish(there))
    command = [sys.executable, "-m", "tests.performance.log", there]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(count)]
    loops = [json.loads(child.communicate()[0]) for child in children]
    rate = sum(loop["completions"] / loop["seconds"] for loop in loops)
    p99 = max(loop["p99"] for loop in loops)
    say(f"{count} processes on one hot budget, 64 clients each", f"{rate:,.0f}/s", f"{rate / alone:.2f} × one process; p99 {p99:.1f} ms")


async def _furnish(url: str) -> None:
    await (await furnished(url)).stop()


async def child(url: str, clients: int = 64) -> dict[str, float]:
    log = PostgresLog(url)
    await log.start()
    loop = await closed_loop(log, clients, SECONDS)
    await log.stop()
    p50, p99 = statistics.median(loop.admission_ms), statistics.quantiles(loop.admission_ms, n=100)[98]
    return {"completions": loop.completions, "seconds": loop.seconds, "cpu_s": loop.cpu_s, "p50": p50, "p99": p99}


def reading(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        admitted = "count(*) FILTER (WHERE topic = 'completion.admitted.v1')"
        sizes = f"SELECT count(*), {admitted}, pg_total_relation_size('stored_events') FROM stored_events"
        ((events, completions, size),) = connection.execute(sizes.encode()).fetchall()
        began = time.perf_counter()
        for _ in pages(connection):
            pass
        raw = events / (time.perf_counter() - began)
        replica, began = Replica("main"), time.perf_counter()
        for rows in pages(connection):
            replica.fold(rows)
        folded = events / (time.perf_counter() - began)
        chain, began = Chain(), time.perf_counter()
        for rows in pages(connection):
            assert not list(follow(chain, rows))
        chained = events / (time.perf_counter() - began)
    say(f"raw keyset read of {events:,} events", f"{raw:,.0f}/s")
    say("replay: decode and fold", f"{folded:,.0f}/s", f"{folded / raw:.2f} × raw")
    say("verify the hash chain", f"{chained:,.0f}/s", f"{chained / raw:.2f} × raw")
    say("disk per completion", f"{size / completions:,.0f} bytes")


def pages(connection: Connection) -> Iterator[list[tuple[Any, ...]]]:
    after = 0
    while rows := connection.execute(statements.TAIL, (after + 1, PAGE_ROWS), binary=True).fetchall():
        yield rows
        after = rows[-1][0]


def appending(url: str) -> None:
    for batch in (16, 256):
        copied, appended = copied_per_second(url, batch), appended_per_second(fresh_copy(url), batch)
        say(f"append, batches of {batch}", f"{appended:,.0f} events/s", f"{appended / copied:.2f} × COPY BINARY ({copied:,.0f}/s)")


def fresh_copy(url: str) -> str:
    name = "bench_append"
    base = f"{url.rpartition('/')[0]}/postgres"
    with psycopg.connect(base, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]}".encode())
    return f"{url.rpartition('/')[0]}/{name}"


def report() -> None:
    with server() as url:
        run(one_process(url))
        there = fresh(url, "bench_alone")
        run(_furnish(there))
        alone = run(child(there))
        rate = alone["completions"] / alone["seconds"]
        for count in (2, 4):
            several_processes(url, rate, count)
        reading(there)
        appending(there)


def run(what: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(what)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(child(sys.argv[1], *map(int, sys.argv[2:])))))
