"""The gateway at its address: from the free socket to the end of the drain."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from entrypoints.http.app import runner_of
from entrypoints.http.sharing import SharedSite, Tally
from entrypoints.stopping import Stop
from entrypoints.wiring import Gateway

SETTLING_S_MAX: Final = 10.0
"""For what is cut off at the end of the drain to be settled."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    runner: web.AppRunner
    site: web.BaseSite


@asynccontextmanager
async def listening(gateway: Gateway, free_socket: socket.socket, tally: Tally, worker: int = 0) -> AsyncIterator[Server]:
    """At the end, what still runs is cut off, and settled."""
    runner = runner_of(gateway.app)
    await runner.setup()
    try:
        site = SharedSite(runner, free_socket, tally, worker)
        await site.start()
        yield Server(runner, site)
    finally:
        await runner.cleanup()
        await gateway.world.runs.drained(SETTLING_S_MAX)


async def drain(gateway: Gateway, server: Server, stop: Stop) -> None:
    """Not ready at once, so that load balancers turn away; then deaf; then what runs may end."""
    settings, runs = gateway.settings, gateway.world.runs
    runs.draining = True
    if not stop.abandoned:  # nobody turns away from a gateway that was killed, and the next one wants its address
        await stop.unless_hurried(asyncio.sleep(settings.drain_accept_s))
    await server.site.stop()
    if server.runner.server is not None:
        server.runner.server.pre_shutdown()
    await stop.unless_hurried(runs.drained(settings.drain_s))
