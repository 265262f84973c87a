"""The command line, as a person meets it: what it prints, how it ends, and that nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from entrypoints import exits
from infra.embedded import RunningValkey
from tests.gateway_process import GATEWAY, command, environment, serving


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this very process, which spares the second that a new one takes."""

    def run_command(environ: dict[str, str], *arguments: str) -> Ended:
        monkeypatch.setattr(os, "environ", environ)
        monkeypatch.setattr(sys, "argv", ["gateway", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            exits.run()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return run_command


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environ(home: Path, database_url: str, valkey: RunningValkey) -> dict[str, str]:
    """The test run's own stores, so that a start takes a second."""
    return environment(home, DATABASE_URL=database_url, REDIS_URL=valkey.url, LOCAL_MODEL="no")


def topics(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        return [topic for (topic,) in connection.execute("SELECT topic FROM stored_events ORDER BY notification_id").fetchall()]


def test_help_lists_the_commands(home: Path) -> None:
    shown = command(environment(home), "--help")
    assert shown.returncode == 0
    for name in ("serve", "demo", "migrate", "settings", "keys", "events", "verify"):
        assert name in shown.stdout


def test_settings_are_shown_without_their_secrets(home: Path, run: Run) -> None:
    shown = run(environment(home, ADMIN_API_KEY="k" * 30, DATABASE_URL="postgresql://g:hush@db/g"), "settings")
    assert shown.code == 0
    assert "GATEWAY_PORT" in shown.out
    assert "hush" not in shown.out
    assert "kkkk" not in shown.out


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (("serve",), {"GATEWAY_PORT": "many"}, "GATEWAY_PORT: "),
        (("serve",), {"GATEWAY_HOST": "256.1.1.1"}, "is no address of this machine"),
        (("verify",), {}, "`gateway serve` begins one"),
        (("events",), {}, "`gateway serve` begins one"),
        (("verify",), {"DATABASE_URL": "postgresql://127.0.0.1:1/nothing"}, "The database can't be reached"),
    ],
)
def test_what_can_not_be_done_is_told_in_a_sentence(
    home: Path, run: Run, arguments: tuple[str, ...], settings: dict[str, str], sentence: str
) -> None:
    refused = run(environment(home, **settings), *arguments)
    assert refused.code == 1
    assert sentence in refused.err
    assert not home.exists()


def test_wrong_usage_is_told_apart(home: Path, run: Run) -> None:
    refused = run(environment(home), "keys", "issue", "Key", "--team", "not an id")
    assert refused.code == 2
    assert "letters, digits and hyphens" in " ".join(refused.err.split())


def test_a_taken_port_is_told_before_anything_is_started(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = command(environment(home, GATEWAY_PORT=port), "serve")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Can't listen on 127.0.0.1:{port}")
    assert not home.exists()


def test_serve_prints_the_admin_key_once_and_stops_in_order(environ: dict[str, str], database_url: str) -> None:
    with serving(environ) as first:
        assert first.secret is not None
        assert first.get("/admin/teams", first.secret).json()["teams"][0]["id"] == "administrators"
        assert first.get("/ready").status_code == 200
        assert first.end(signal.SIGTERM) == 0
    assert f"Authorization: Bearer {first.secret}" in first.said
    assert first.said.count("Traceback") == 0

    with serving(environ) as second:
        assert "pk_test_" not in second.said
        assert second.get("/admin/teams", first.secret).status_code == 200
        assert second.end(signal.SIGINT) == 0
    assert second.said.count("Traceback") == 0
    assert topics(database_url) == [
        "process.started.v1",
        "team.created.v1",
        "api_key.issued.v1",
        "process.stopped.v1",
        "process.started.v1",
        "process.stopped.v1",
    ]


def test_an_admin_key_that_is_set_is_taken_once_and_a_changed_one_is_pointed_out(environ: dict[str, str]) -> None:
    with serving(environ | {"ADMIN_API_KEY": "a" * 24}) as first:
        assert first.get("/admin/teams", "pk_test_" + "a" * 24).status_code == 200
    assert "a" * 24 not in first.said
    with serving(environ | {"ADMIN_API_KEY": "b" * 24}) as second:
        assert second.get("/admin/teams", "pk_test_" + "b" * 24).status_code == 401
        assert second.get("/admin/teams", "pk_test_" + "a" * 24).status_code == 200
    assert "ADMIN_API_KEY is not the secret" in second.said


def test_keys_are_issued_and_revoked_while_the_gateway_runs_and_while_it_does_not(environ: dict[str, str], run: Run) -> None:
    assert "There is no team administrators" in run(environ, "keys", "issue", "Too early").err
    with serving(environ) as running:
        issued = run(environ, "keys", "issue", "Operator", "--admin", "--id", "operator")
        assert (issued.code, issued.out.startswith("pk_test_")) == (0, True)
        secret = issued.out.strip()
        assert running.get("/admin/teams", secret).status_code == 200
    assert run(environ, "keys", "revoke", "operator").code == 0
    assert "There is no API key nobody" in run(environ, "keys", "revoke", "nobody").err
    with serving(environ) as running:
        assert running.get("/admin/teams", secret).status_code == 401


def test_events_are_listed_sought_and_followed(environ: dict[str, str], run: Run) -> None:
    with serving(environ):
        pass
    assert [line.split()[0] for line in run(environ, "events").out.splitlines()] == ["1", "2", "3", "4"]
    assert [line.split()[0] for line in run(environ, "events", "--topic", "team.created.v1").out.splitlines()] == ["2"]
    assert run(environ, "events", "--after", "2", "--limit", "1", "--json").out.startswith('{"position":3,')

    follow = [*GATEWAY, "events", "--follow"]
    following = subprocess.Popen(follow, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert following.stdout is not None
    assert [following.stdout.readline().split()[0] for _ in range(4)] == ["1", "2", "3", "4"]
    run(environ, "keys", "issue", "New")
    assert "api_key.issued.v1" in following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, complaints = following.communicate(timeout=10)
    assert (following.returncode, complaints) == (130, "")


def test_verify_ends_with_1_when_something_was_changed(environ: dict[str, str], database_url: str, run: Run) -> None:
    assert "up to date" in run(environ, "migrate").out
    with serving(environ):
        pass
    fine = run(environ, "verify")
    assert (fine.code, "verified: the hashes of 4 events" in fine.out) == (0, True)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE stored_events SET by = 'key:other' WHERE notification_id = 2")
    changed = run(environ, "verify")
    assert changed.code == 1
    assert "position 2: the hash does not fit" in changed.out
    assert "NOT verified: 1 finding" in changed.out


@pytest.mark.parametrize("delay_s", [0.3, 1.2])
def test_an_interrupted_start_leaves_no_stack_trace(environ: dict[str, str], delay_s: float) -> None:
    """Before 0.1 s Python itself isn't up, and what it says then is its own."""
    starting = subprocess.Popen([*GATEWAY, "serve"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(delay_s)
    starting.send_signal(signal.SIGINT)
    _, complaints = starting.communicate(timeout=20)
    assert "Traceback" not in complaints
    assert starting.returncode in {0, 130, -signal.SIGINT}


def test_a_killed_gateway_starts_again_with_its_data(servers_home: Path, tmp_path: Path, run: Run) -> None:
    """With embedded servers: they outlive the kill for a moment, and are stopped and recovered."""
    environ = environment(servers_home / tmp_path.name, LOCAL_MODEL="no")
    with serving(environ) as first:
        secret = first.secret
        issued = run(environ, "keys", "issue", "Beside", "--admin").out.strip()
        assert "is in use by process" in command(environ, "serve").stderr
        first.process.kill()
        first.process.wait()
    with serving(environ) as second:
        assert second.get("/admin/teams", secret).status_code == 200
        assert second.get("/admin/teams", issued).status_code == 200
        assert run(environ, "verify").code == 0
        assert second.end() == 0
    offline = run(environ, "verify")
    assert (offline.code, "verified: the hashes" in offline.out) == (0, True)
