"""Set-up as it proceeds: a line for each part that is up, a spinner for the one that is coming."""

import time

from rich.console import Console


class Steps:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._part = ""
        self._began = 0.0

    def begin(self, part: str) -> None:
        self.end()
        self._part, self._began = part, time.monotonic()
        self._status.update(f"{part} …")
        self._status.start()

    def end(self) -> None:
        """Of the part that began last. The spinner is gone until the next."""
        self._status.stop()
        if self._part:
            self._console.print(f"  [green]✓[/green] {self._part} [dim]{time.monotonic() - self._began:.1f} s[/dim]", highlight=False)
        self._part = ""

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
