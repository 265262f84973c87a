"""What the gateway stands on: the servers that the settings name, or embedded ones below the home."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

from entrypoints.problems import NoLog
from infra.embedded import AlreadyRunning, EmbeddedServerError, RunningServer, start_postgres, start_valkey
from infra.local_model import LocalModelUnavailable, start_local_model
from infra.postgres import check_server, migrate
from infra.running_postgres import has_postgres, running_postgres_url
from infra.settings import Settings

log = logging.getLogger(__name__)

Tell = Callable[[str], None]
"""Told what is being done, in a few words, as it begins."""


class Embedded:
    """A server of ours. When it has died, it can be started again where it was, so that nobody has to be told another address."""

    def __init__(self, name: str, start: Callable[..., RunningServer]) -> None:
        self.name = name
        self._start = start
        self._turn = Lock()
        """To revive it takes time, in another thread."""
        self._stopped = False
        self._running = start()

    @property
    def url(self) -> str:
        return self._running.url

    def is_dead(self) -> bool:
        return self._running.exit_code() is not None

    def revive(self) -> None:
        with self._turn:
            if not self._stopped and self.is_dead():
                self._running.stop()
                self._running = self._start(port=urlsplit(self.url).port)

    def stop(self) -> None:
        with self._turn:
            self._stopped = True
            self._running.stop()


class Standing(NamedTuple):
    settings: Settings
    """As they were, and with the address of everything."""
    servers: list[Embedded]
    """Those that are ours to keep."""


@contextmanager
def standing(settings: Settings, tell: Tell) -> Iterator[Standing]:
    """All of them. What blocks does so before anything runs that it could hold up."""
    home = settings.gateway_home
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    with ExitStack() as stack:
        servers: list[Embedded] = []

        def own(name: str, start: Callable[..., RunningServer]) -> str:
            servers.append(Embedded(name, start))
            stack.callback(servers[-1].stop)
            return servers[-1].url

        tell("PostgreSQL")
        database_url = settings.database_url or own("PostgreSQL", partial(start_postgres, home))
        check_server(database_url)
        migrate(database_url)
        tell("Valkey")
        redis_url = settings.redis_url or own("Valkey", partial(start_valkey, home))
        local_model_url = settings.local_model_url
        if settings.local_model and local_model_url is None:
            tell("local model")
            local_model_url = _unless_missing(lambda: own("local model", partial(_start_local_model, settings)))
        there = {"database_url": database_url, "redis_url": redis_url, "local_model_url": local_model_url}
        offered = settings.local_model and local_model_url is not None
        yield Standing(settings.model_copy(update={**there, "local_model": offered}), servers)


def _start_local_model(settings: Settings, port: int = 0) -> RunningServer:
    model = start_local_model(settings.gateway_home, port=port)
    return RunningServer(model.base_url, model.pid, model.stop, lambda: None if model.is_running() else 1)


def _unless_missing(start: Callable[[], str]) -> str | None:
    """The rest of the gateway needs no model of its own."""
    try:
        return start()
    except LocalModelUnavailable as problem:
        log.warning("the gateway runs without its local model: %s", problem)
        return None


@contextmanager
def postgres(settings: Settings) -> Iterator[str]:
    """Its URL. An embedded one is stopped at the end."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = start_postgres(settings.gateway_home)
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def log_database(settings: Settings) -> Iterator[str]:
    """The database of an existing log, up to date, whether or not a gateway runs. Raises NoLog where none was ever begun."""
    if settings.database_url is None and not has_postgres(settings.gateway_home):
        raise NoLog(f"There is no log below {settings.gateway_home} yet; `gateway serve` begins one")
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres(settings))
        except AlreadyRunning as running:
            url = _of_another_process(settings, running)
        migrate(url)
        yield url


def _of_another_process(settings: Settings, running: AlreadyRunning) -> str:
    url = running_postgres_url(settings.gateway_home)
    if url is None:
        raise EmbeddedServerError(f"{running}, and its PostgreSQL is not ready")
    return url
