"""The rules of a process."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.state import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    lock_key: int
    version: str
    started_at: datetime
    stopped: bool = False


PROCESSES: Final = Kind[str, Process]("process")
