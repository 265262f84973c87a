"""A server process that lives as long as we do: started apart from our terminal, stopped in order, found again after a crash."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.placement import Account, EmbeddedServerError

PROC = Path("/proc")
LOG_BYTES_MAX = 10 << 20
LOG_BYTES_KEPT = 1 << 20
POLL_S = 0.02
ORPHAN_STOP_S = 60.0  # a fast shutdown writes a checkpoint
ORPHAN_KILL_S = 10.0

# Waits for the end of its standard input, which is the end of us: the other end of that pipe is in nobody else's hands.
# (PR_SET_PDEATHSIG would fire already when the *thread* that started the server ends, and exists on Linux alone.)
# The pid is compared with the server's own pid file, so that a pid that was given out again isn't hit.
STOP_WHEN_ORPHANED = 'read -r _; read -r pid _ < "$2" && [ "$pid" = "$1" ] && kill -s INT "$1"'


@dataclass(frozen=True)
class Program:
    """A server's command line and what surrounds it."""

    command: Sequence[str]
    directory: Path  # its working directory, by which it is recognised
    pid_file: Path
    log: Path
    account: Account | None
    stop_signals: Sequence[tuple[signal.Signals, float]]  # each with the seconds that it is given
    stdin: bytes = b""  # configuration that must not show in the process list


class Child:
    """A server that we started."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.log_start = _trim(program.log)
        self.process = _spawn(program)
        try:
            self._watcher, self._lifeline = _watch(self.process.pid, program)
        except BaseException:
            _end(self.process, program)
            raise

    def ready(self, is_ready: Callable[[int], bool], limit_s: float) -> bool:
        """Wait until it is ready; False if it ended instead."""
        deadline = time.monotonic() + limit_s
        try:
            while self.process.poll() is None and time.monotonic() < deadline:
                if is_ready(self.process.pid):
                    return True
                time.sleep(POLL_S)
        except BaseException:  # Ctrl-C, too
            self.stop()
            raise
        if self.process.poll() is None:
            self.stop()
            raise EmbeddedServerError(f"{self._name} was not ready after {limit_s:.0f} s; its log is {self.program.log}")
        return False

    def output(self) -> str:
        """What it has logged since it was started."""
        with self.program.log.open("rb") as log:
            log.seek(self.log_start)
            return log.read(LOG_BYTES_KEPT).decode(errors="replace")

    def stop(self) -> None:
        _end(self.process, self.program)
        self._watcher.kill()  # before the pipe closes: the pid that it watches may soon be somebody else's
        self._watcher.wait()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    @property
    def _name(self) -> str:
        return Path(self.program.command[0]).name


def stop_orphans(program: Program) -> None:
    """End what an owner that was killed has left running in this directory. Call it with the directory's lock held."""
    name = Path(program.command[0]).name
    first, last = program.stop_signals[0][0], program.stop_signals[-1][0]
    for number, limit_s in ((first, ORPHAN_STOP_S), (last, ORPHAN_KILL_S), (signal.SIGKILL, ORPHAN_KILL_S)):
        if not (orphans := list(_occupants(program, name))):
            break
        leader = _recorded_pid(program.pid_file)
        if leader in orphans:  # it ends its children
            orphans = [leader]
        elif number is first:  # children whose leader is dead end by themselves, unless they hang
            orphans, limit_s = [], ORPHAN_KILL_S
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        _wait_until(lambda: not any(_occupants(program, name)), limit_s)
    if left := list(_occupants(program, name)):
        raise EmbeddedServerError(f"{name} still runs in {program.directory} as process {left[0]} and can't be stopped")
    if PROC.is_dir():
        # Its pid may belong to somebody else by now, which would keep the server from starting.
        program.pid_file.unlink(missing_ok=True)


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    account = program.account
    with program.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            program.command,
            cwd=program.directory,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # the terminal's Ctrl-C is for us; we then stop the server in order
            umask=0o077,
            user=account and account.uid,
            group=account and account.gid,
            extra_groups=None if account is None else (),
        )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already; whoever waits for it will see
        process.stdin.write(program.stdin)
        process.stdin.close()
    return process


def _end(process: subprocess.Popen[bytes], program: Program) -> None:
    for number, limit_s in (*program.stop_signals, (signal.SIGKILL, ORPHAN_KILL_S)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(limit_s)


def _watch(pid: int, program: Program) -> tuple[subprocess.Popen[bytes], int | None]:
    account = program.account
    reading, lifeline = os.pipe()
    try:
        watcher = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", STOP_WHEN_ORPHANED, "sh", str(pid), str(program.pid_file)],
            cwd="/",
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=account and account.uid,
            group=account and account.gid,
            extra_groups=None if account is None else (),
        )
    finally:
        os.close(reading)
    return watcher, lifeline


def _trim(log: Path) -> int:
    """Keep the end of a log that has grown too long; answers its size."""
    size = log.stat().st_size if log.exists() else 0
    if size > LOG_BYTES_MAX:
        with log.open("rb+") as file:
            file.seek(-LOG_BYTES_KEPT, os.SEEK_END)
            end = file.read()
            file.seek(0)
            file.write(end)
            file.truncate()
        return len(end)
    log.touch(mode=0o600)
    return size


def _occupants(program: Program, name: str) -> Iterator[int]:
    """Processes of this server: those that run its program in its directory."""
    if not PROC.is_dir():
        yield from _occupant_by_ps(program)
        return
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            directory, running = os.readlink(process / "cwd"), os.readlink(process / "exe")
        except OSError:  # not ours to look at, a kernel thread, or gone
            continue
        # After an upgrade the kernel calls the replaced program "… (deleted)".
        if directory == str(program.directory) and Path(running).name.removesuffix(" (deleted)") == name:
            yield int(process.name)


def _occupant_by_ps(program: Program) -> Iterator[int]:
    if pid := _recorded_pid(program.pid_file):
        command = ["/bin/ps", "-p", str(pid), "-o", "args="]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if Path(program.command[0]).name in listed.stdout:
            yield pid


def _recorded_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _wait_until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_S)
