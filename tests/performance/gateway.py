"""The gateway against the bare proxy, under the same load, one after the other, several times; medians and ratios."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.performance.load import Load, Result
from tests.performance.processes import cpu_seconds, free_port, is_python, python, resident_bytes, tree, wait_ready

ROUNDS: Final = 3
SECRET: Final = "bench-admin-key-0123456789abcdef"
CHAT: Final = {"model": "bench", "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "word " * 180}]}


@dataclass(frozen=True)
class Figure:
    requests_per_second: float
    cpu_ms: float
    first_byte_ms_p50: float
    total_ms_p50: float
    total_ms_p99: float
    failed: int


@dataclass(frozen=True)
class Case:
    name: str
    connections: int
    seconds: float
    upstream_delay_ms: float = 0
    pace_per_second: float = 0
    stream: bool = False
    events: int = 24
    event_ms: float = 0


CASES: Final = (
    Case("plain, 64 connections", connections=64, seconds=6),
    Case("natural load: 256 clients, calls of 200 ms", connections=256, seconds=8, upstream_delay_ms=200),
    Case("50 requests/s", connections=16, seconds=6, pace_per_second=50),
    Case("streams of 24 events, 20 ms apart, 64 at a time", connections=64, seconds=6, stream=True, event_ms=20),
    Case("32 slow streams of 50 events", connections=32, seconds=6, stream=True, events=50, event_ms=40),
)


def measure(case: Case) -> dict[str, Figure]:
    """The bare proxy and the gateway, in turns, so that both see the same machine."""
    upstream = free_port()
    arguments = (str(upstream), str(case.upstream_delay_ms), str(case.events), str(case.event_ms))
    with (
        python("-m", "tests.performance.upstream", *arguments, port=upstream),
        bare(upstream) as bare_run,
        gateway(upstream) as gateway_run,
    ):
        for run in (bare_run, gateway_run):
            run(Case("warm-up", connections=16, seconds=2, stream=case.stream, events=case.events, event_ms=case.event_ms))
        rounds = [(bare_run(case), gateway_run(case)) for _ in range(ROUNDS)]
    return {"bare proxy": median([first for first, _ in rounds]), "gateway": median([second for _, second in rounds])}


def median(figures: list[Figure]) -> Figure:
    return Figure(**{name: statistics.median(asdict(figure)[name] for figure in figures) for name in asdict(figures[0])})


Run = Callable[[Case], Figure]


@contextmanager
def bare(upstream: int) -> Iterator[Run]:
    port = free_port()
    with python("-m", "tests.performance.bare_proxy", str(port), f"http://127.0.0.1:{upstream}/v1", port=port) as pid:
        yield lambda case: loaded(case, port, pid, "unused")


@contextmanager
def gateway(upstream: int, *, workers: int = 1) -> Iterator[Run]:
    """Everything on: key, permission, rate limit, two budgets, durable log, read models."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir="/tmp") as home:
        Path(home).chmod(0o755)
        environ = {
            "GATEWAY_PORT": str(port),
            "GATEWAY_HOME": home,
            "GATEWAY_WORKERS": str(workers),
            "ADMIN_API_KEY": SECRET,
            "LOCAL_MODEL": "false",
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
            "LOG_LEVEL": "warning",
        }
        with python("-c", "from entrypoints.cli import main; main()", "serve", port=port, environ=environ) as pid:
            wait_ready(port)
            secret = furnish(port)
            yield lambda case: loaded(case, port, pid, secret)
            sizes = ", ".join(f"{resident_bytes(each) / 1e6:.0f}" for each in tree(pid) if is_python(each))
            sys.stdout.write(f"    resident: {sizes} MB (supervisor and its processes)\n")


def furnish(port: int) -> str:
    """A model, a team's key with limits that never bind, and two budgets that hold for it."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/admin", headers={"Authorization": f"Bearer pk_test_{SECRET}"}) as admin:

        def post(path: str, body: dict[str, object]) -> dict[str, str]:
            answer = admin.post(path, json=body)
            answer.raise_for_status()
            created: dict[str, str] = answer.json()
            return created

        price = {"input_usd_per_million": 0.15, "output_usd_per_million": 0.6}
        model = {
            "id": "bench",
            "name": "Bench",
            "provider": "openai",
            "provider_model": "bench-upstream",
            "credential_id": "openai-default",
        }
        post("/models", {**model, "price": price})
        post("/teams", {"id": "bench", "name": "Bench"})
        limits = {"requests_per_minute": 10_000_000, "parallel_requests": 10_000}
        key = post("/api-keys", {"name": "bench", "team_id": "bench", "permissions": {}, "rate_limits": limits})
        post("/budgets", {"id": "everyone", "name": "Everyone", "period": "monthly", "hard_limit_usd": 1_000_000})
        post("/budgets", {"id": "team", "name": "Team", "period": "daily", "hard_limit_usd": 1_000_000, "team_ids": ["bench"]})
        return key["secret"]


def loaded(case: Case, port: int, pid: int, secret: str) -> Figure:
    body = json.dumps({**CHAT, **({"stream": True, "stream_options": {"include_usage": True}} if case.stream else {})})
    load = Load(port, secret, body, case.connections, case.seconds, case.pace_per_second)
    before = cpu_seconds(pid)
    done = subprocess.run(
        [sys.executable, "-m", "tests.performance.load"], input=json.dumps(asdict(load)), capture_output=True, text=True, check=True
    )
    used = cpu_seconds(pid) - before
    result = Result(**json.loads(done.stdout))
    if result.failed:
        sys.stdout.write(f"    FAILED {result.failed}: {result.failure}\n")
    return Figure(
        requests_per_second=result.requests / result.seconds,
        cpu_ms=used * 1000 / result.requests,
        first_byte_ms_p50=statistics.median(result.first_byte_ms),
        total_ms_p50=statistics.median(result.total_ms),
        total_ms_p99=statistics.quantiles(result.total_ms, n=100)[98],
        failed=result.failed,
    )


def report() -> None:
    for case in CASES:
        sys.stdout.write(f"\n{case.name}\n")
        figures = measure(case)
        sys.stdout.write(f"    {'':12} {'req/s':>8} {'CPU ms':>8} {'first p50':>10} {'p50 ms':>8} {'p99 ms':>8}\n")
        for name, figure in figures.items():
            sys.stdout.write(
                f"    {name:12} {figure.requests_per_second:8.0f} {figure.cpu_ms:8.3f} {figure.first_byte_ms_p50:10.2f}"
                f" {figure.total_ms_p50:8.2f} {figure.total_ms_p99:8.2f}\n"
            )
        bare_figure, ours = figures["bare proxy"], figures["gateway"]
        added = ours.first_byte_ms_p50 - bare_figure.first_byte_ms_p50
        sys.stdout.write(f"    CPU ratio {ours.cpu_ms / bare_figure.cpu_ms:.2f}; first byte added {added:.2f} ms at the median\n")
        sys.stdout.flush()
