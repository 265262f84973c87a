"""The world as the application sees it: every port, on one page."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from application.ports import Clock, Log, Provider, Secrets, Transport
from application.refusals import Refusals
from application.settling import Runs
from domain.ids import ProcessId


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    log: Log
    transport: Transport
    providers: Mapping[str, Provider]
    """By the word that a model names its provider with."""
    secrets: Secrets
    clock: Clock
    process_id: ProcessId
    """The owner of the completions that are admitted here."""
    runs: Runs = field(default_factory=Runs)
    refusals: Refusals = field(default_factory=Refusals)
