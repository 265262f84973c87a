"""Starting children of a test, hearing them, and ending them."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

WAIT_S_MAX: Final = 30.0


class Child:
    """A `tests.log.child`, and what it has said so far."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.log.child", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._said = b""

    @property
    def said(self) -> list[str]:
        """Whole lines only."""
        assert self.process.stdout is not None
        while select.select([self.process.stdout], [], [], 0)[0]:
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                break
            self._said += piece
        return self._said.decode().split("\n")[:-1]

    @property
    def acknowledged(self) -> dict[str, int]:
        """By request, the position that it was told."""
        pairs = (line.split() for line in self.said if line[0] not in "!r")
        return {request: int(position) for request, position in pairs}

    def wait_for(self, beginning: str) -> str:
        """The last word of the first line that begins so and has not been waited for."""
        until = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < until:
            for line in self.said:
                if line.startswith(beginning):
                    self._said = self._said.replace(f"{line}\n".encode(), b"", 1)
                    return line.split()[-1]
            if self.process.poll() is not None and not self.said:
                break
            time.sleep(0.005)
        raise AssertionError(f"the child did not say {beginning!r}, but {self.said[-3:]}")

    def wait_for_work(self, requests: int) -> None:
        until = time.monotonic() + WAIT_S_MAX
        while len(self.acknowledged) < requests:
            assert time.monotonic() < until, self.said[-3:]
            time.sleep(0.005)

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        with suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def children(*argument_lists: tuple[str, ...]) -> Iterator[list[Child]]:
    """Started together, and ready."""
    started = [Child(*arguments) for arguments in argument_lists]
    try:
        for child in started:
            child.wait_for("ready")
        yield started
    finally:
        for child in started:
            child.close()
