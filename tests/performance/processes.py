"""Starting what is measured, and reading how much CPU it and its children used."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 30.0
TICKS: Final = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def python(*arguments: str, port: int, environ: dict[str, str] | None = None) -> Iterator[int]:
    """A Python process that listens on `port`; answers its pid."""
    process = subprocess.Popen([sys.executable, *arguments], env={**os.environ, **(environ or {})}, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S_MAX
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(arguments)} did not start")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_S_MAX)


def cpu_seconds(root: int) -> float:
    """User and system time of a process, its living descendants, and what they waited for."""
    return sum(_cpu_ticks(pid) for pid in tree(root)) / TICKS


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def is_python(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").resolve().name.startswith("python")


def tree(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def wait_ready(port: int) -> None:
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise RuntimeError("the gateway is not ready")


def _cpu_ticks(pid: int) -> int:
    fields = _fields(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def _fields(pid: int) -> list[str]:
    """/proc/PID/stat behind the name: state, ppid, … utime, stime, cutime, cstime at 11 to 14."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
