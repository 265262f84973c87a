"""A PostgreSQL of the test's own, always at one address: to be stopped, killed, and put back to an earlier state."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.embedded import start_postgres
from infra.placement import data_root
from infra.postgres import migrate
from tests.log.proxy import Proxy


class Server:
    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = start_postgres(home)
        migrate(self._running.url)
        self._proxy = Proxy(self._running.url)
        self.url = self._proxy.url
        """The same through every restart."""

    def stop(self) -> None:
        self._running.stop()

    def kill(self) -> None:
        os.kill(self._running.pid, signal.SIGKILL)
        self._running.stop()

    def start(self) -> None:
        self._running = start_postgres(self._home)
        self._proxy.lead_to(self._running.url)

    def copy(self) -> None:
        """Of the data as it is now. The server must not run."""
        subprocess.run(["cp", "-a", self._place, self._aside], check=True)

    def put_copy_in_place(self) -> None:
        shutil.rmtree(self._place)
        self._aside.rename(self._place)

    def close(self) -> None:
        self._proxy.close()
        self._running.stop()

    @property
    def _place(self) -> Path:
        return data_root(self._home.resolve()) / "postgres" / "data"

    @property
    def _aside(self) -> Path:
        return self._place.with_name("aside")


@contextmanager
def own_server() -> Iterator[Server]:
    """Durable: what was acknowledged must survive."""
    home = Path(tempfile.mkdtemp(prefix="ledger-gateway-log-", dir="/tmp"))
    home.chmod(0o755)
    server = Server(home)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)
