"""Finds the embedded PostgreSQL of a home that another process, `gateway serve` mostly, has started."""

import time
from pathlib import Path

from infra.embedded import LOOPBACK, POSTGRES_DATABASE, POSTGRES_ROLE
from infra.placement import data_root

PORT_LINE, STATUS_LINE = 3, 7  # of postmaster.pid
READY_S_MAX = 30.0
LOOK_S = 0.1


def has_postgres(home: Path) -> bool:
    """Whether data was ever kept below this home. Nothing is created by asking."""
    return home.is_dir() and (data_root(home) / "postgres" / "data").is_dir()


def running_postgres_url(home: Path) -> str | None:
    """None: it does not run, or is not ready within READY_S_MAX."""
    home = home.resolve()
    pid_file = data_root(home) / "postgres" / "data" / "postmaster.pid"
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline and pid_file.exists():
        lines = [line.strip() for line in pid_file.read_text().splitlines()]
        if lines[STATUS_LINE : STATUS_LINE + 1] == ["ready"]:
            password = (home / "postgres.password").read_text().strip()
            return f"postgresql://{POSTGRES_ROLE}:{password}@{LOOPBACK}:{lines[PORT_LINE]}/{POSTGRES_DATABASE}"
        time.sleep(LOOK_S)
    return None
