"""One owner per data directory: a lock that the kernel releases when its holder dies, however it dies."""

import fcntl
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path


class AlreadyRunning(Exception):  # noqa: N818 - it reads as what is the case
    """Another process owns this data directory."""

    def __init__(self, lock: Path, pid: int | None, since: str | None) -> None:
        holder = f"process {pid}, since {since}" if pid else "another process"
        super().__init__(f"{lock.parent} is in use by {holder}")
        self.pid = pid
        self.since = since


def take_ownership(lock: Path) -> Callable[[], None]:
    """Take the lock or raise AlreadyRunning; answers what releases it.

    The descriptor isn't inherited across exec, so a server that outlives us doesn't keep the lock. A process that is
    forked without exec does, as it should: it may be using the server.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise AlreadyRunning(lock, *holder) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}).encode(), 0)

    # The file stays: deleting it would let two processes lock two files of the same name.
    return lambda: os.close(descriptor)


def _holder(descriptor: int) -> tuple[int | None, str | None]:
    try:
        holder = json.loads(os.pread(descriptor, 1000, 0))
        return int(holder["pid"]), str(holder["since"])
    except (ValueError, KeyError):  # it has the lock, but hasn't written its name yet
        return None, None
