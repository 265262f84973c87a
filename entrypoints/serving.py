"""`gateway serve`: the processes of one machine, in the foreground until it is told to stop, and then ended in good order.

This process serves nothing and holds no log. It starts what the gateway stands on, binds the one socket that all workers accept from, and
keeps everything running.
"""

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from domain.api_key.secret import TYPE_PREFIX
from entrypoints import stores
from entrypoints.http.sharing import GONE, Tally, tally_file
from entrypoints.problems import PortTaken, StartFailed
from entrypoints.stopping import Stop, on_signals
from entrypoints.supervising import Crew, Kind, keep_server
from infra.ownership import take_ownership
from infra.settings import Settings, as_environment

LOCK: Final = "gateway.lock"
METRICS: Final = "run/metrics"
"""In the home: what all processes count, until the next start."""
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library's own: see `measuring`, which this process has no use for."""
ORDERLY_S_MAX: Final = 15.0
"""For a process to end, beyond what it waits for others."""

log = logging.getLogger(__name__)


async def serve(settings: Settings, console: Console) -> None:
    """Returns after an orderly stop. Told to stop while it starts, it raises CancelledError once all is down again."""
    stop = on_signals()
    # Bound first, so that a taken port is told at once; listened on last, by the workers, so that nobody meets half a gateway.
    with bound(settings.gateway_host, settings.gateway_port) as free_socket, own_home(settings.gateway_home):
        url = url_of(free_socket)
        with stores.standing(settings, lambda part: log.info("starting: %s", part)) as standing:
            log.info("starting: %d workers", settings.gateway_workers)
            await keep(standing, free_socket, stop, welcome=lambda secret: welcome(console, settings, url, secret))
    log.info("stopped")


async def keep(standing: stores.Standing, free_socket: socket.socket, stop: Stop, *, welcome: Callable[[str | None], None]) -> None:
    """Until it is told to stop. Raises StartFailed."""
    settings = standing.settings
    with tally_file(settings.gateway_workers) as tally:
        workers = Crew(worker_kind(settings, free_socket.fileno(), tally.fileno()))
        projectors = Crew(projector_kind(settings))
        try:
            async with asyncio.TaskGroup() as group:
                kept = [group.create_task(keep_server(server)) for server in standing.servers]
                projectors.begin(group)
                workers.begin(group)
                said = await workers.up()
                await projectors.up()
                stop.started = True
                welcome(next((each["admin_secret"] for each in said if each["admin_secret"]), None))
                await stop.asked.wait()
                log.info(
                    "stopping: requests are taken for another %g s, then running ones have %g s; a second signal hurries",
                    settings.drain_accept_s,
                    settings.drain_s,
                )
                free_socket.close()  # the workers have theirs, and nobody shall wait for an answer when they are gone
                await workers.end(stop, settings.drain_accept_s + settings.drain_s + ORDERLY_S_MAX)
                await projectors.end(stop, ORDERLY_S_MAX)
                for each in kept:
                    each.cancel()
        except BaseExceptionGroup as failures:
            raise next((failure for failure in failures.exceptions if isinstance(failure, StartFailed)), failures) from None


def worker_kind(settings: Settings, listening: int, tally: int) -> Kind:
    """`listening` and `tally`: descriptors."""
    count = settings.gateway_workers
    mark = Tally(tally, count).write

    def ended(number: int, pid: int) -> None:
        mark(number, GONE)
        forget_measures(settings, pid)

    return Kind(
        name="worker",
        count=count,
        command=("-m", "entrypoints.worker", "worker", str(listening), str(tally), str(count)),
        environ=environment(settings),
        descriptors=(listening, tally),
        on_end=ended,
    )


def projector_kind(settings: Settings) -> Kind:
    return Kind(
        name="projector",
        count=settings.gateway_projectors,
        command=("-m", "entrypoints.worker", "projector"),
        environ=environment(settings),
        on_end=lambda _number, pid: forget_measures(settings, pid),
    )


def environment(settings: Settings) -> Mapping[str, str]:
    """Of a child: ours, with the settings as they were when we started."""
    others = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return others | as_environment(settings) | {METRICS_VARIABLE: str((settings.gateway_home / METRICS).resolve())}


def forget_measures(settings: Settings, pid: int) -> None:
    """What a process that is gone was like at its end. What it counted stays."""
    for file in (settings.gateway_home / METRICS).glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)


@contextmanager
def own_home(home: Path) -> Iterator[None]:
    """Raises AlreadyRunning."""
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    release = take_ownership(home / LOCK)
    try:
        shutil.rmtree(home / METRICS, ignore_errors=True)
        (home / METRICS).mkdir(mode=0o700, parents=True)
        yield
    finally:
        release()


def bound(host: str, port: int) -> socket.socket:
    """Raises PortTaken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(f"GATEWAY_HOST={host} is no address of this machine ({error.strerror})") from None
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise PortTaken(f"Can't listen on {host}:{port}: {error.strerror}. Set GATEWAY_PORT (0 takes any free port)") from None
    return taken


def url_of(listening_socket: socket.socket) -> str:
    host, port = listening_socket.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def welcome(console: Console, settings: Settings, url: str, admin_secret: str | None) -> None:
    """The only place where a generated secret is ever shown. Whoever waits for the last line has read all of it."""
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    if admin_secret is not None:
        say(f"\nThis is its first start. The admin key, shown this once:\n\n    {admin_secret}\n\nTry it:\n\n{curl(url, admin_secret)}")
    elif settings.admin_api_key is not None:
        say(f"\nTry it:\n\n{curl(url, f'{TYPE_PREFIX}$ADMIN_API_KEY')}")
    say(f"The gateway listens on {url} and keeps its log in {_place(settings)}. Ctrl-C stops it.")


def curl(url: str, secret: str) -> str:
    body = '{"model": "local", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 50}'
    return f"""curl {url}/v1/chat/completions -H "Authorization: Bearer {secret}" -H 'Content-Type: application/json' \\\n  -d '{body}'\n"""


def _place(settings: Settings) -> str:
    return str(settings.gateway_home) if settings.database_url is None else "the PostgreSQL of DATABASE_URL"
