"""A process that `gateway serve` starts and keeps: one that answers HTTP, or the one that feeds read models and recovers.

`python -m entrypoints.worker worker LISTENING TALLY WORKERS NUMBER` with two inherited descriptors, or `… projector NUMBER`. Its settings
are its environment. Up, it says so by a line of JSON on its standard output; standard input is its leash.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import orjson
import uvloop

from entrypoints.http.listening import drain, listening
from entrypoints.http.sharing import Tally
from entrypoints.measuring import Measures
from entrypoints.problems import FAILED, INTERRUPTED, explanation
from entrypoints.stopping import on_leash
from entrypoints.wiring import reactor, running
from infra.settings import Settings, load_settings
from infra.telemetry import configure_logging

Say = Callable[[Mapping[str, Any]], None]

log = logging.getLogger(__name__)


async def worker(settings: Settings, say: Say, listening_fd: int, tally_fd: int, workers: int, number: int) -> None:
    stop = on_leash()
    async with (
        running(settings, started("worker"), number=number) as gateway,
        listening(gateway, socket.socket(fileno=listening_fd), Tally(tally_fd, workers), number - 1) as server,
    ):
        stop.started = True
        say({"admin_secret": gateway.admin_secret})
        await stop.asked.wait()
        await drain(gateway, server, stop)


async def projector(settings: Settings, say: Say, _number: int) -> None:
    stop = on_leash()
    async with reactor(settings, started("projector")):
        stop.started = True
        say({})
        await stop.asked.wait()


def started(kind: str) -> Measures:
    measures = Measures()
    measures.starts.labels(kind).inc()
    return measures


KINDS: Final[Mapping[str, Callable[..., Coroutine[Any, Any, None]]]] = {"worker": worker, "projector": projector}


def main() -> None:
    kind, *numbers = sys.argv[1:]
    say = _mouth()
    settings = load_settings(os.environ)
    configure_logging(settings.log_level, settings.log_format, process=f"{kind}-{numbers[-1]}")
    try:
        uvloop.run(KINDS[kind](settings, say, *map(int, numbers)))
    except asyncio.CancelledError:
        sys.exit(INTERRUPTED)
    except Exception as error:
        reason = explanation(error)
        if reason is None:
            log.exception("this process failed")
        say({"failed": reason or f"{type(error).__name__}, see above"})
        sys.exit(FAILED)


def _mouth() -> Say:
    """Whatever else is printed goes where the log goes."""
    announcements = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(words: Mapping[str, Any]) -> None:
        os.write(announcements, orjson.dumps(words) + b"\n")

    return say


if __name__ == "__main__":
    main()
