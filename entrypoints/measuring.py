"""What a process measures, and how the measures of all processes of a machine become one answer.

Where METRICS_VARIABLE names a directory, the library keeps what a process counts in files there, which outlive it; whichever worker is
asked adds up the files of all. What the log itself tells (budgets, open completions) every worker knows: the one that is asked tells it.
Labels come from lists of ours, never from what a client wrote, but for the ids of budgets.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from adapters.log.measures import Measures as WriterMeasures
from adapters.log.postgres_log import PostgresLog
from adapters.projecting.projector import Projector
from application.ports import Committed, Idempotency, Log
from domain.admission.ledger import balance
from domain.budget.budget import BUDGETS
from domain.completion.completion import OPEN_COMPLETIONS
from domain.completion.events import CompletionCorrected, CompletionSettled
from domain.errors import Refusal
from domain.kernel import Command
from domain.money import NANOS_PER_USD
from domain.state import View

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
SAMPLE_S: Final = 1.0
BUDGETS_SHOWN_MAX: Final = 500
"""The first by id: a metric for each of a million would hurt whoever gathers them."""
REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
LOG_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


Mode = Literal["livesum", "livemax"]


class Measures:
    """Of one process. A gauge is of the living processes: added up, or the worst of them."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"gateway_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, mode: Mode, *labels: str) -> Gauge:
            return Gauge(f"gateway_{name}", meaning, labels, registry=registry, multiprocess_mode=mode)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"gateway_{name}", meaning, labels, registry=registry, buckets=buckets)

        self.http_requests = counter("http_requests", "HTTP requests answered", "method", "route", "status")
        self.http_seconds = histogram("http_request_seconds", "Until an answer's end", REQUEST_BUCKETS, "route")
        self.completions = counter("completions", "Completions settled", "end_reason")
        self.recovered = counter("completions_recovered", "Completions of dead processes, settled by recovery")
        self.corrected = counter("completions_corrected", "Settlements corrected later")
        self.refusals = counter("refusals", "Commands refused", "refusal")

        self.queue = gauge("log_queue", "Commands that wait to be decided", "livesum")
        self.batch_commands = histogram("log_batch_commands", "Commands in a batch", BATCH_BUCKETS)
        self.batch_events = counter("log_events_appended", "Events appended")
        self.lock_seconds = histogram("log_lock_seconds", "A batch's time under the log's lock", LOG_BUCKETS)
        self.fold_lag = gauge("log_fold_lag_seconds", "Since the log was last read to its end, by whoever is furthest behind", "livemax")

        self.ready = gauge("ready", "Processes that may decide", "livesum")
        self.starts = counter("process_starts", "Processes started: more than there are, and some were started again", "process")
        self.projection_lag = gauge("projection_lag_events", "Events that the slowest read model is behind", "livemax")
        self.projecting = gauge("projectors_active", "Processes that feed the read models: 1, or nobody does", "livesum")
        self.projections_in_trouble = gauge("projections_in_trouble", "Read models that can't be advanced", "livemax")

    def text(self, view: View, now: datetime) -> bytes:
        """Of all processes."""
        registry = CollectorRegistry()
        directory = os.environ.get(METRICS_VARIABLE)
        if directory:
            MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
        ledger = CollectorRegistry()
        ledger.register(Ledger(view, now))
        return generate_latest(registry if directory else self.registry) + generate_latest(ledger)


class Ledger(Collector):
    """What the log tells of now."""

    def __init__(self, view: View, now: datetime) -> None:
        self._view = view
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        open_completions = sum(1 for _ in self._view.items(OPEN_COMPLETIONS))
        yield GaugeMetricFamily("gateway_completions_open", "Completions admitted and not yet settled", open_completions)
        budgets = sorted(budget_id for budget_id, budget in self._view.items(BUDGETS) if not budget.closed)
        yield GaugeMetricFamily("gateway_budgets", "Budgets, shown or not", len(budgets))
        balances = {budget_id: balance(self._view, budget_id, self._now) for budget_id in budgets[:BUDGETS_SHOWN_MAX]}
        for name in ("limit", "settled", "held"):
            family = GaugeMetricFamily(f"gateway_budget_{name}_usd", f"In its present period: {name}", labels=("budget",))
            for budget_id, there in balances.items():
                family.add_metric((budget_id,), getattr(there, f"{name}_nanos") / NANOS_PER_USD)
            yield family


class MeasuredLog:
    """A log that counts what comes of what is asked of it."""

    def __init__(self, log: Log, measures: Measures) -> None:
        self._log = log
        self._measures = measures
        self._ended = cache(measures.completions.labels)  # to find a counter by its labels takes longer than to count

    @property
    def view(self) -> View:
        return self._log.view

    async def catch_up(self) -> None:
        await self._log.catch_up()

    def time(self) -> datetime:
        return self._log.time()

    def ready(self) -> str | None:
        return self._log.ready()

    async def submit(
        self,
        command: Command,
        *,
        by: str,
        correlation_id: str,
        causation_id: str | None = None,
        expected_version: int | None = None,
        idempotency: Idempotency | None = None,
        then: Command | None = None,
    ) -> Committed:
        try:
            committed = await self._log.submit(
                command,
                by=by,
                correlation_id=correlation_id,
                causation_id=causation_id,
                expected_version=expected_version,
                idempotency=idempotency,
                then=then,
            )
        except Refusal as refusal:
            self._measures.refusals.labels(type(refusal).__name__).inc()
            raise
        if not committed.repeated:
            self._count(committed)
        return committed

    def _count(self, committed: Committed) -> None:
        for recorded in committed.events:
            match recorded.event:
                case CompletionSettled(end_reason=reason, recovered=recovered):
                    self._ended(reason).inc()
                    if recovered:
                        self._measures.recovered.inc()
                case CompletionCorrected():
                    self._measures.corrected.inc()


class MeasuredWriter(WriterMeasures):
    """What the log's writer counts, told to `measures` too."""

    __slots__ = ("measures",)

    def __init__(self, measures: Measures) -> None:
        super().__init__()
        self.measures = measures

    def decided(self, commands: int, events: int, lock_seconds: float) -> None:
        super().decided(commands, events, lock_seconds)
        self.measures.batch_commands.observe(commands)
        self.measures.batch_events.inc(events)
        self.measures.lock_seconds.observe(lock_seconds)


async def sample(measures: Measures, log: PostgresLog, projector: Projector | None = None) -> None:
    """For ever: what can only be looked at."""
    while True:
        measures.queue.set(len(log.writer.queue))
        measures.fold_lag.set(max(0.0, time.monotonic() - log.writer.read_at))
        measures.ready.set(log.ready() is None)
        if projector is not None:
            measures.projecting.set(projector.active)
            measures.projection_lag.set(projector.lag if projector.active else 0)
            measures.projections_in_trouble.set(sum(standing.trouble is not None for standing in projector.standings().values()))
        await asyncio.sleep(SAMPLE_S)
