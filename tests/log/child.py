"""A process of its own with a log, for tests that kill, stop and compete.

    python -m tests.log.child count URL NAME [STAGE SIGNAL BATCHES]   counts for ever, and says each request once it is acknowledged
    python -m tests.log.child spend URL                               spends the hot budget in two waves

With a stage the process sends itself that signal there, after so many batches: at the lock, at the commit, or after it.
"""

import asyncio
import os
import signal
import sys
import time
from typing import Any, Final

from adapters.log import connection, writer
from adapters.log.connection import ImpatientConnection
from adapters.log.postgres_log import PostgresLog
from domain.errors import BudgetExceeded
from domain.ids import Slug
from tests.log import tally
from tests.log.completions import admission, admit, settle
from tests.log.tally import Count

CLIENTS: Final = 8
SIGNAL_S: Final = 0.05
STAGES: Final = ("locked", "inserted", "committed")


def say(line: str) -> None:
    """Unbuffered, and whole: what was said was said, whatever happens next."""
    os.write(1, f"{line}\n".encode())


def arm(stage: str, number: signal.Signals, batches: int) -> None:
    """Once, in the batch after so many."""
    write, execute, left = connection.write, ImpatientConnection.execute, [batches]

    def reached(here: str) -> None:
        if here == stage and left[0] == 0:
            left[0] -= 1
            say(f"! {stage}")
            os.kill(os.getpid(), number)
            time.sleep(SIGNAL_S)  # it may be another thread that is hit first

    def writing(*arguments: Any) -> None:
        reached("locked")
        write(*arguments)
        reached("committed")
        left[0] -= 1

    def executing(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        if query == "COMMIT":
            reached("inserted")
        return execute(self, query, *arguments, **options)

    vars(writer)["write"] = writing
    ImpatientConnection.execute = executing  # type: ignore[method-assign]


async def count(log: PostgresLog, name: str) -> None:
    async def client(client_number: int) -> None:
        for number in range(1_000_000):
            request = f"{name}-{client_number}-{number}"
            committed = await log.submit(Count(tally_id=Slug("hot")), by="key:k", correlation_id=request)
            say(f"{request} {committed.position}")

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


async def spend(log: PostgresLog) -> None:
    """All that the budget allows; on a line of input all of it is settled, and on another comes a second wave."""
    admitted = await wave(log)
    say(f"admitted {len(admitted)}")
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(settle(log, each) for each in admitted))
    say(f"settled {len(admitted)}")
    await asyncio.to_thread(sys.stdin.readline)
    say(f"admitted {len(await wave(log))}")
    measures = log.writer.measures
    say(f"trouble {measures.doubts + measures.connects - 1}")


async def wave(log: PostgresLog) -> list[Any]:
    admitted = []

    async def client() -> None:
        while True:
            asked = admission()
            try:
                await admit(log, asked)
            except BudgetExceeded:
                return
            admitted.append(asked)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return admitted


async def main(what: str, url: str, name: str = "", stage: str = "", number: str = "", batches: str = "") -> None:
    tally.register()
    if stage:
        arm(stage, signal.Signals[number], int(batches))
    log = PostgresLog(url)
    await log.start()
    say("ready")
    await (count(log, name) if what == "count" else spend(log))
    await log.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
