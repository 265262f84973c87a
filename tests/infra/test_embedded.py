"""Embedded servers: real starts, real kills, and nothing lost."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import redis

from infra import child_server, embedded, placement
from infra.embedded import AlreadyRunning, EmbeddedServerError, RunningPostgres, RunningServer, RunningValkey, start_postgres, start_valkey
from infra.placement import account_for
from infra.postgres import UnsuitableServer, check_server

GONE_WITHIN_S = 20.0

# An owner that says where its server is, and then waits to be killed.
OWNER = """
import json, sys, time
from pathlib import Path
from infra.embedded import start_postgres
server = start_postgres(Path(sys.argv[1]))
print(json.dumps({"url": server.url, "pid": server.pid}), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One for all, as making a cluster takes seconds: each test finds the servers stopped, and what others wrote."""
    home = Path(tempfile.mkdtemp(prefix="ledger-gateway-embedded-", dir="/tmp"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def owner(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    start_postgres(home).stop()


def told(owner: subprocess.Popen[str]) -> tuple[str, int]:
    assert owner.stdout is not None
    server = json.loads(owner.stdout.readline())
    return server["url"], server["pid"]


def killed(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()


def remember(url: str, what: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS remembered (what text)")
        connection.execute("INSERT INTO remembered VALUES (%s)", (what,))


def remembered(server: RunningServer) -> list[str]:
    with psycopg.connect(server.url) as connection:
        return [what for (what,) in connection.execute("SELECT what FROM remembered")]


def lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def setting(url: str, name: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return row and row[0]


def test_it_runs_apart_from_us(postgres: RunningPostgres, servers_home: Path) -> None:
    status = os.stat(f"/proc/{postgres.pid}")
    assert status.st_uid != 0
    assert os.getsid(postgres.pid) != os.getsid(0)
    assert Path(f"/proc/{postgres.pid}/cwd").readlink() == servers_home / "postgres" / "data"
    command = Path(f"/proc/{postgres.pid}/cmdline").read_text()
    password = (servers_home / "postgres.password").read_text()
    assert password in postgres.url
    for where in (command, repr(postgres), (servers_home / "postgres.log").read_text()):
        assert password not in where


def test_secrets_and_data_are_private(postgres: RunningPostgres, servers_home: Path) -> None:
    def mode(name: str) -> int:
        return stat.S_IMODE((servers_home / name).stat().st_mode)

    assert (mode("postgres.password"), mode("postgres.log"), mode("postgres/data")) == (0o600, 0o600, 0o700)
    assert not list(servers_home.rglob("*.draft"))
    assert (setting(postgres.url, "listen_addresses"), setting(postgres.url, "unix_socket_directories")) == ("127.0.0.1", "")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace((servers_home / "postgres.password").read_text(), "guessed"))


def test_it_is_durable_unless_told_otherwise(home: Path, postgres: RunningPostgres) -> None:
    check_server(postgres.url)
    server = start_postgres(home, durable=False)
    try:
        with pytest.raises(UnsuitableServer, match=r"fsync is off.*synchronous_commit is off"):
            check_server(server.url)
    finally:
        server.stop()


def test_a_restart_keeps_data_and_password(home: Path) -> None:
    first = start_postgres(home)
    remember(first.url, "an orderly stop")
    first.stop()
    first.stop()
    assert first.exit_code() == 0
    second = start_postgres(home)
    assert "an orderly stop" in remembered(second)
    assert second.url.rpartition(":")[0] == first.url.rpartition(":")[0]
    second.stop()


def test_clients_do_not_keep_it_from_stopping(home: Path) -> None:
    server = start_postgres(home)
    with psycopg.connect(server.url, autocommit=True):
        server.stop()
    assert server.exit_code() == 0


def test_a_second_start_is_refused(postgres: RunningPostgres, servers_home: Path) -> None:
    with pytest.raises(AlreadyRunning, match=rf"is in use by process {os.getpid()}, since 20\d\d-") as refused:
        start_postgres(servers_home)
    assert refused.value.pid == os.getpid()
    check_server(postgres.url)


def test_a_second_start_from_another_process_is_refused(home: Path, owner: subprocess.Popen[str]) -> None:
    told(owner)
    with pytest.raises(AlreadyRunning, match=f"process {owner.pid}, "):
        start_postgres(home)


def test_kill_9_of_postgres_loses_nothing(home: Path) -> None:
    server = start_postgres(home)
    remember(server.url, "kill -9 of postgres")
    with psycopg.connect(server.url, autocommit=True):  # its backend has to notice that the postmaster is gone
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: server.exit_code() is not None)
        server.stop()
        again = start_postgres(home)
    assert "kill -9 of postgres" in remembered(again)
    again.stop()


def test_kill_9_of_the_owner_loses_nothing(home: Path, owner: subprocess.Popen[str]) -> None:
    url, pid = told(owner)
    remember(url, "kill -9 of the owner")
    killed(owner)
    server = start_postgres(home)  # at once, while the old server may still be stopping
    assert not lives(pid)
    assert "kill -9 of the owner" in remembered(server)
    server.stop()


def test_a_server_whose_owner_was_killed_stops_by_itself(home: Path, owner: subprocess.Popen[str]) -> None:
    _, pid = told(owner)
    killed(owner)
    wait_until(lambda: not lives(pid))
    wait_until(lambda: not (home / "postgres" / "data" / "postmaster.pid").exists())  # in order, that is


def test_ctrl_c_at_the_owner_does_not_reach_the_server(home: Path) -> None:
    # A process group of its own stands for the terminal's.
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True, process_group=0)
    url, pid = told(owner)
    os.killpg(owner.pid, signal.SIGSTOP)  # so that the owner can't end, which would stop the server
    assert os.getpgid(pid) != owner.pid
    os.killpg(owner.pid, signal.SIGINT)
    remember(url, "Ctrl-C")
    killed(owner)
    assert owner.stdout is not None
    owner.stdout.close()
    start_postgres(home).stop()


def test_an_orphan_is_stopped_at_the_next_start(home: Path, owner: subprocess.Popen[str]) -> None:
    url, pid = told(owner)
    remember(url, "an orphan")
    (watcher,) = set(children(owner.pid)) - {pid}
    os.kill(watcher, signal.SIGKILL)
    killed(owner)
    time.sleep(0.2)
    assert lives(pid)
    server = start_postgres(home)
    assert not lives(pid)
    assert "an orphan" in remembered(server)
    server.stop()


def test_kill_9_of_everything_loses_nothing(home: Path, owner: subprocess.Popen[str]) -> None:
    url, pid = told(owner)
    remember(url, "kill -9 of everything")
    family = [*children(owner.pid), owner.pid, *children(pid)]
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    wait_until(lambda: not any(lives(member) for member in family))
    assert (home / "postgres" / "data" / "postmaster.pid").exists()
    server = start_postgres(home)
    assert "kill -9 of everything" in remembered(server)
    server.stop()


def test_a_stale_pid_that_is_somebody_else_s_does_no_harm(home: Path) -> None:
    start_postgres(home).stop()
    data = home / "postgres" / "data"
    account = account_for(data)
    uid, gid = account or (None, None)
    # PostgreSQL by itself would refuse to start: a process with this pid exists, and runs as the same user.
    stranger = subprocess.Popen(["/bin/sleep", "60"], cwd="/", user=uid, group=gid)
    (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n1700000000\n5432\n\n127.0.0.1\n\nready\n")
    start_postgres(home).stop()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_port_that_somebody_was_faster_to_take_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_port = embedded._free_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for start in (start_postgres, start_valkey):
            ports = iter([taken.getsockname()[1]])
            monkeypatch.setattr(embedded, "_free_port", lambda ports=ports: next(ports, None) or free_port())
            start(home).stop()
            assert next(ports, None) is None


def test_a_server_that_can_not_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded.POSTGRES_SETTINGS, "shared_buffers", "plenty")
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "shared_buffers": "plenty"'):
        start_postgres(home)
    monkeypatch.undo()
    start_postgres(home).stop()  # and the lock was released


def test_a_cluster_that_was_half_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(embedded, "_initdb", lambda data, *_: made.append(sorted(file.name for file in data.iterdir())))
    (tmp_path / "data.draft").mkdir()
    (tmp_path / "data.draft" / "PG_VERSION").touch()
    embedded._create_cluster(tmp_path / "data", None, "password")
    assert made == [[]]
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_below_a_private_directory_root_keeps_the_data_elsewhere(
    tmp_path: Path, home: Path, valkey: RunningValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not placement._may_enter(tmp_path, placement._default_account() or pytest.fail("not root"))
    monkeypatch.setattr(placement, "SYSTEM_HOME", home / "system")
    private = tmp_path / "home"
    start_valkey(private).stop()
    root = Path((private / placement.DATA_LOCATION_FILE).read_text().strip())
    assert root.parent == home / "system"
    assert (root / "valkey" / "data").stat().st_uid != 0
    assert stat.S_IMODE((private / "valkey.password").stat().st_mode) == 0o600

    moved = private.rename(tmp_path / "moved")
    start_valkey(moved).stop()
    assert list((home / "system").iterdir()) == [root]

    shutil.rmtree(root)
    with pytest.raises(EmbeddedServerError, match="is missing; restore it"):
        start_valkey(moved)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_a_strict_umask_does_not_lock_the_servers_out(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "SYSTEM_HOME", home / "strict")
    before = os.umask(0o077)
    try:
        start_valkey(home / "below").stop()
        start_valkey(tmp_path / "elsewhere").stop()
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_data_that_has_become_unreachable_is_not_replaced_by_an_empty_database(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(EmbeddedServerError, match="may no longer enter it"):
        start_postgres(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_programs_that_the_account_can_not_reach_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "SYSTEM_HOME", home / "system")
    monkeypatch.setattr(placement, "_may_run", lambda program, account: False)
    for start in (start_postgres, start_valkey):
        server = start(home)
        assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(home / "system" / "programs")
        server.stop()


def test_valkey_answers_to_its_password_alone(valkey: RunningValkey, servers_home: Path) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    guessed = valkey.url.replace((servers_home / "valkey.password").read_text(), "guessed")
    with redis.Redis.from_url(guessed) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    assert os.stat(f"/proc/{valkey.pid}").st_uid != 0
    assert "password" not in Path(f"/proc/{valkey.pid}/cmdline").read_text()


def test_an_interrupted_start_leaves_nothing_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def interrupted(self: child_server.Child, is_ready: object, limit_s: float) -> bool:
        started.append(self.process.pid)
        monkeypatch.undo()
        return self.ready(_raise_interrupt, limit_s)

    monkeypatch.setattr(child_server.Child, "ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_valkey(home)
    assert not any(map(lives, started))
    start_valkey(home).stop()


def _raise_interrupt(pid: int) -> bool:
    raise KeyboardInterrupt


def test_valkey_starts_again_after_kill_9(home: Path) -> None:
    server = start_valkey(home)
    with pytest.raises(AlreadyRunning):
        start_valkey(home)
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.exit_code() is not None)
    server.stop()
    start_valkey(home).stop()


def test_a_log_that_has_grown_is_cut_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_server, "LOG_BYTES_MAX", 100)
    monkeypatch.setattr(child_server, "LOG_BYTES_KEPT", 10)
    log = tmp_path / "postgres.log"
    log.write_text("x" * 100)
    assert child_server._trim(log) == 100
    log.write_text("x" * 95 + "the end")
    assert child_server._trim(log) == 10
    assert log.read_text() == "xxxthe end"


def test_without_proc_a_server_is_recognised_by_its_command_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, owner: subprocess.Popen[str]
) -> None:
    _, pid = told(owner)
    program = embedded._postgres_program(home / "postgres" / "data", None, home / "postgres.log", 0, durable=True)
    monkeypatch.setattr(child_server, "PROC", Path("/nowhere"))
    assert list(child_server._occupants(program, "postgres")) == [pid]
