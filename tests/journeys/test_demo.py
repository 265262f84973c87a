"""`gateway demo`, whole: a newcomer sees a completion streamed, budgeted, recorded and verified; twice, and interrupted anywhere."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from infra.child_server import PROC
from tests.gateway_process import GATEWAY, command, environment

SECOND_RUN_S_MAX = 15.0

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def environ(servers_home: Path) -> dict[str, str]:
    return environment(servers_home / "demo")


def servers_of(environ: dict[str, str]) -> list[str]:
    """What still runs in the demo's home or was started by a demo."""
    home = environ["GATEWAY_HOME"]
    found = []
    for process in PROC.iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                command_line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if home in command_line or os.readlink(process / "cwd").startswith(home):
                    found.append(command_line)
            except OSError:
                continue
    return found


def check(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for topic in ("budget.opened.v1|budget.reset.v1", "api_key.issued.v1", "completion.admitted.v1", "completion.settled.v1"):
        assert re.search(topic, shown.stdout), shown.stdout
    assert re.search(r"\d+\. 429 insufficient_quota", shown.stdout), shown.stdout
    assert shown.stdout.count("verified") >= 2
    assert "How to go on" in shown.stdout
    assert shown.stderr == ""


def test_the_demo_shows_a_completion_from_request_to_ledger_twice(environ: dict[str, str]) -> None:
    check(command(environ, "demo"))
    began = time.monotonic()
    check(command(environ, "demo"))
    assert time.monotonic() - began < SECOND_RUN_S_MAX
    assert servers_of(environ) == []
    assert command(environ, "verify").returncode == 0


@pytest.mark.parametrize("delay_s", [0.4, 1.0, 2.0, 3.0, 4.0, 6.0])
def test_an_interrupted_demo_leaves_no_stack_trace_and_nothing_running(environ: dict[str, str], delay_s: float) -> None:
    showing = subprocess.Popen([*GATEWAY, "demo"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(delay_s)
    showing.send_signal(signal.SIGINT)
    said, complaints = showing.communicate(timeout=30)
    assert "Traceback" not in said + complaints
    assert showing.returncode in {0, 130, -signal.SIGINT}
    assert servers_of(environ) == []
