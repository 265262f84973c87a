"""`gateway` as a person runs it: in a process of its own, asked over HTTP, stopped by signals."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import httpx

GATEWAY = (sys.executable, "-c", "from entrypoints.cli import main; main()")
START_S_MAX = 60.0
STOP_S_MAX = 30.0
COMMAND_S_MAX = 60.0
KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
URL = re.compile(r"listens on (http://\S+)")
SECRET = re.compile(r"^\s+(pk_test_\S+)$", re.MULTILINE)


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Nothing of the tests' own settings, one worker, and no waiting at the end."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    defaults = {"GATEWAY_HOME": str(home), "GATEWAY_PORT": "0", "GATEWAY_WORKERS": "1", "DRAIN_ACCEPT_S": "0", "COLUMNS": "200"}
    return kept | defaults | settings


def command(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GATEWAY, *arguments], env=environ, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False)


@dataclass
class Serving:
    """A running `gateway serve`, and what it has said."""

    process: subprocess.Popen[str]
    said: str = ""
    url: str = ""

    @property
    def secret(self) -> str | None:
        found = SECRET.search(self.said)
        return found and found[1]

    def get(self, path: str, secret: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return httpx.get(f"{self.url}{path}", headers=headers, trust_env=False)

    def children(self) -> dict[str, int]:
        """The pids of its processes, by name: worker-1, projector-1."""
        pid = self.process.pid
        found = {}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
            if "entrypoints.worker" in words:
                found[f"{words[words.index('entrypoints.worker') + 1]}-{words[-1]}"] = int(child)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S_MAX)


@contextmanager
def serving(environ: dict[str, str]) -> Iterator[Serving]:
    """Up and listening. Its standard error is read too: the two are one story."""
    process = subprocess.Popen(
        [*GATEWAY, "serve"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    running = Serving(process)
    reader = Thread(target=_read, args=(running,))
    reader.start()
    try:
        _await_url(running)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_S_MAX)
        reader.join()


def _read(running: Serving) -> None:
    assert running.process.stdout is not None
    with running.process.stdout as output:
        for line in output:
            running.said += line


def _await_url(running: Serving) -> None:
    deadline = monotonic() + START_S_MAX
    while (found := URL.search(running.said)) is None:
        assert running.process.poll() is None, running.said
        assert monotonic() < deadline, running.said
        sleep(0.05)
    running.url = found[1].rstrip("/")
