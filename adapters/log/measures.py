"""What the writer counts about itself, for metrics and benchmarks."""

from dataclasses import dataclass


@dataclass(slots=True)
class Measures:
    """Written by the writer's thread alone; readers may see a batch's numbers half entered."""

    batches: int = 0
    commands: int = 0
    events: int = 0
    lock_seconds: float = 0.0
    lock_seconds_max: float = 0.0
    connects: int = 0
    doubts: int = 0

    def decided(self, commands: int, events: int, lock_seconds: float) -> None:
        self.batches += 1
        self.commands += commands
        self.events += events
        self.lock_seconds += lock_seconds
        self.lock_seconds_max = max(self.lock_seconds_max, lock_seconds)
