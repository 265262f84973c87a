"""What can be asked of a process."""

from typing import ClassVar

from pydantic import Field

from domain.ids import ProcessId
from domain.kernel import Command
from domain.text import Name


class StartProcess(Command):
    opens: ClassVar[bool] = True

    process_id: ProcessId
    lock_key: int = Field(ge=-(1 << 63), lt=1 << 63)
    version: Name


class StopProcess(Command):
    process_id: ProcessId


class NoteDeath(Command):
    """Its lock was free for so long that it must be dead."""

    process_id: ProcessId
    open_completions: int = Field(ge=0)
