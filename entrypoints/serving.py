"""`gateway serve`: in the foreground until it is told to stop, and then in good order."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aiohttp import web
from rich.console import Console

from domain.api_key.secret import TYPE_PREFIX
from entrypoints.http.app import runner_of
from entrypoints.problems import PortTaken
from entrypoints.wiring import Gateway, running
from infra.settings import Settings

BACKLOG: Final = 1_024
SETTLING_S_MAX: Final = 10.0
"""For what is cut off at the end of the drain to be settled."""
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


class Stop:
    """The first signal asks to stop, the next one to hurry. While the gateway starts, the first one cancels that."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.started = False
        self._task = asyncio.current_task()
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._heard)

    def _heard(self) -> None:
        if self.asked.is_set():
            self.hurried.set()
        elif not self.started and self._task is not None:
            self._task.cancel()
        self.asked.set()

    async def unless_hurried(self, wait: Coroutine[Any, Any, object]) -> None:
        both = [asyncio.ensure_future(wait), asyncio.ensure_future(self.hurried.wait())]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            each.cancel()


async def serve(settings: Settings, console: Console) -> None:
    """Returns after an orderly stop. Told to stop while it starts, it raises CancelledError once all is down again."""
    stop = Stop()
    if settings.gateway_workers > 1:
        log.warning("GATEWAY_WORKERS is %d, and this release serves HTTP by one process", settings.gateway_workers)
    # Bound first, so that a taken port is told at once; listened on last, so that nobody meets half a gateway.
    with bound(settings.gateway_host, settings.gateway_port) as free_socket:
        async with running(settings, lambda part: log.info("starting: %s", part)) as gateway, listening(gateway, free_socket) as server:
            stop.started = True
            welcome(console, gateway, server.url)
            await stop.asked.wait()
            await drain(gateway, server, stop)
    log.info("stopped")


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    runner: web.AppRunner
    site: web.SockSite


@asynccontextmanager
async def listening(gateway: Gateway, free_socket: socket.socket) -> AsyncIterator[Server]:
    """At the end, what still runs is cut off, and settled."""
    runner = runner_of(gateway.app)
    await runner.setup()
    try:
        site = web.SockSite(runner, free_socket, backlog=BACKLOG)
        await site.start()
        yield Server(_url(free_socket), runner, site)
    finally:
        await runner.cleanup()
        await gateway.world.runs.drained(SETTLING_S_MAX)


async def drain(gateway: Gateway, server: Server, stop: Stop) -> None:
    """Not ready at once, so that load balancers turn away; then deaf; then what runs may end."""
    settings, runs = gateway.settings, gateway.world.runs
    runs.draining = True
    log.info(
        "stopping: requests are taken for another %g s, then running ones have %g s; a second signal hurries",
        settings.drain_accept_s,
        settings.drain_s,
    )
    await stop.unless_hurried(asyncio.sleep(settings.drain_accept_s))
    await server.site.stop()
    if server.runner.server is not None:
        server.runner.server.pre_shutdown()
    await stop.unless_hurried(runs.drained(settings.drain_s))


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


def welcome(console: Console, gateway: Gateway, url: str) -> None:
    """The only place where a generated secret is ever shown."""
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    say(f"The gateway listens on {url} and keeps its log in {_place(gateway.settings)}. Ctrl-C stops it.")
    if gateway.admin_secret is not None:
        say(f"\nThis is its first start. The admin key, shown this once:\n\n    {gateway.admin_secret}\n\nTry it:\n")
        say(curl(url, gateway.admin_secret))
    elif gateway.settings.admin_api_key is not None:
        say(f"\nTry it:\n\n{curl(url, f'{TYPE_PREFIX}$ADMIN_API_KEY')}")


def curl(url: str, secret: str) -> str:
    body = '{"model": "local", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 50}'
    return f"""curl {url}/v1/chat/completions -H "Authorization: Bearer {secret}" -H 'Content-Type: application/json' \\\n  -d '{body}'\n"""


def _place(settings: Settings) -> str:
    return str(settings.gateway_home) if settings.database_url is None else "the PostgreSQL of DATABASE_URL"


def _url(listening_socket: socket.socket) -> str:
    host, port = listening_socket.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
