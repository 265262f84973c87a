"""The stores: those that the settings name, or embedded ones below the home."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from entrypoints.problems import NoLog
from infra.embedded import AlreadyRunning, EmbeddedServerError, RunningServer, start_postgres, start_valkey
from infra.postgres import migrate
from infra.running_postgres import has_postgres, running_postgres_url
from infra.settings import Settings


@contextmanager
def postgres(settings: Settings) -> Iterator[str]:
    """Its URL. An embedded one is stopped at the end."""
    with _embedded(settings.database_url, lambda: start_postgres(settings.gateway_home)) as url:
        yield url


@contextmanager
def valkey(settings: Settings) -> Iterator[str]:
    with _embedded(settings.redis_url, lambda: start_valkey(settings.gateway_home)) as url:
        yield url


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


@contextmanager
def _embedded(url: str | None, start: Callable[[], RunningServer]) -> Iterator[str]:
    if url is not None:
        yield url
        return
    server = start()
    try:
        yield server.url
    finally:
        server.stop()
