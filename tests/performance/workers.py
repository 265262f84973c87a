"""One, two and four workers: on the log alone, each with its own writer, and as a whole gateway. Everything in turns, so that all see
the same machine; medians of the rounds, and ratios to one worker."""

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.performance import log
from tests.performance.gateway import Case, Figure, gateway, median
from tests.performance.processes import free_port, python

COUNTS: Final = (1, 2, 4)
ROUNDS: Final = 5
GATEWAY_ROUNDS: Final = 3
CASES: Final = (
    Case("plain, 64 connections", connections=64, seconds=5),
    Case("natural load: 256 clients, calls of 200 ms", connections=256, seconds=6, upstream_delay_ms=200),
)


@dataclass(frozen=True)
class Writers:
    """What several writers came to together."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """For a completion: its two commands and their share of following the others."""


def contend(url: str, count: int, clients: int) -> Writers:
    """`clients` in all, on one hot budget."""
    there = log.fresh(url, f"bench_contend_{count}")
    log.run(log._furnish(there))
    command = [sys.executable, "-m", "tests.performance.log", there, str(clients // count)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(count)]
    loops = [json.loads(child.communicate()[0]) for child in children]
    completions = sum(loop["completions"] for loop in loops)
    return Writers(
        rate=sum(loop["completions"] / loop["seconds"] for loop in loops),
        p50_ms=statistics.median(loop["p50"] for loop in loops),
        p99_ms=max(loop["p99"] for loop in loops),
        cpu_ms=sum(loop["cpu_s"] for loop in loops) * 1000 / completions,
    )


def in_turns(measure: Callable[[int], Writers]) -> Iterator[tuple[int, Writers]]:
    rounds: dict[int, list[Writers]] = defaultdict(list)
    for number in range(ROUNDS):
        for count in COUNTS if number % 2 else reversed(COUNTS):
            rounds[count].append(measure(count))
    for count in COUNTS:
        each = rounds[count]
        yield (
            count,
            Writers(*(statistics.median(getattr(writers, name) for writers in each) for name in ("rate", "p50_ms", "p99_ms", "cpu_ms"))),
        )


def report_writers() -> None:
    with log.server() as url:
        for clients in (64, 256):
            alone = 0.0
            for count, writers in in_turns(lambda count, clients=clients: contend(url, count, clients)):  # type: ignore[misc]
                alone = alone or writers.rate
                log.say(
                    f"{count} own writers, {clients} clients in all, one hot budget",
                    f"{writers.rate:,.0f}/s",
                    f"{writers.rate / alone:.2f} × one; admission p50 {writers.p50_ms:.1f} p99 {writers.p99_ms:.1f} ms,"
                    f" CPU {writers.cpu_ms:.2f} ms",
                )


def report_gateways() -> None:
    for case in CASES:
        upstream = free_port()
        sys.stdout.write(f"\n{case.name}\n")
        with python("-m", "tests.performance.upstream", str(upstream), str(case.upstream_delay_ms), "24", "0", port=upstream):
            rounds: dict[int, list[Figure]] = defaultdict(list)
            for number in range(GATEWAY_ROUNDS):
                for count in COUNTS if number % 2 else reversed(COUNTS):
                    with gateway(upstream, workers=count) as run:
                        run(Case("warm-up", connections=16, seconds=2))
                        rounds[count].append(run(case))
        for count in COUNTS:
            figure = median(rounds[count])
            log.say(
                f"{count} workers",
                f"{figure.requests_per_second:,.0f}/s",
                f"{figure.requests_per_second / median(rounds[1]).requests_per_second:.2f} × one; CPU {figure.cpu_ms:.2f} ms;"
                f" p50 {figure.total_ms_p50:.1f} p99 {figure.total_ms_p99:.1f} ms; failed {figure.failed:.0f}",
            )


def report() -> None:
    report_writers()
    report_gateways()
