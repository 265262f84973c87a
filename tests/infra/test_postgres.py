"""Migrations, the log's table as the eventsourcing library sees it, and which servers are refused."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SHUT_RDWR, create_connection, create_server, socket

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from infra import postgres
from infra.embedded import RunningPostgres
from infra.postgres import MIGRATIONS, MigrationRefused, UnsuitableServer, check_server, migrate

INSERT = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id, at, org, by, correlation_id, hash)
VALUES (%s, %s, 'budget.opened.v1', '{}', %s, now(), 'main', 'system', 'r1', %s)
"""
HASH = bytes(32)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for file in MIGRATIONS.glob("*.sql"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def empty_url(database_url: str) -> str:
    """A database without any schema of ours."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return database_url


@pytest.fixture
def recorder(database_url: str) -> Iterator[PostgresApplicationRecorder]:
    to = conninfo_to_dict(database_url)
    datastore = PostgresDatastore(
        dbname=str(to["dbname"]),
        host=str(to["host"]),
        port=str(to["port"]),
        user=str(to["user"]),
        password=str(to["password"]),
        originator_id_type="text",
        pool_size=2,
    )
    yield PostgresApplicationRecorder(datastore, events_table_name="stored_events")
    datastore.close()


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def applied(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM schema_migrations ORDER BY name")]


def test_migrating_creates_everything_once(empty_url: str) -> None:
    assert migrate(empty_url) == sorted(file.name for file in MIGRATIONS.glob("*.sql"))
    assert {"stored_events", "forgettable", "idempotency", "contents", "schema_migrations"} <= tables(empty_url)
    assert migrate(empty_url) == []


def test_four_processes_migrate_at_once(empty_url: str) -> None:
    program = "import sys; from infra.postgres import migrate; sys.stdin.read(1); print(len(migrate(sys.argv[1])))"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, empty_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("!")
        process.stdin.flush()
    answers = sorted(int(process.communicate(timeout=30)[0]) for process in processes)
    assert answers == [0, 0, 0, len(list(MIGRATIONS.glob("*.sql")))]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]


def test_a_changed_migration_is_refused(database_url: str, directory: Path) -> None:
    with (directory / "0001_log.sql").open("a") as file:
        file.write("-- an afterthought\n")
    with pytest.raises(MigrationRefused, match=r"0001_log\.sql was changed after"):
        migrate(database_url, directory)


def test_a_migration_that_comes_too_late_is_refused(database_url: str, directory: Path) -> None:
    (directory / "0000_before.sql").write_text("CREATE TABLE before_all (a int)")
    with pytest.raises(MigrationRefused, match=r"0000_before\.sql was never applied"):
        migrate(database_url, directory)


def test_a_failed_migration_leaves_nothing_and_keeps_its_predecessors(database_url: str, directory: Path) -> None:
    (directory / "9001_good.sql").write_text("CREATE TABLE good (a int)")
    (directory / "9002_bad.sql").write_text("CREATE TABLE bad (a int); SELECT 1 / 0")
    with pytest.raises(MigrationRefused, match=r"9002_bad\.sql failed and was rolled back: division by zero"):
        migrate(database_url, directory)
    assert "good" in tables(database_url)
    assert "bad" not in tables(database_url)
    (directory / "9002_bad.sql").write_text("CREATE TABLE bad (a int)")
    assert migrate(database_url, directory) == ["9002_bad.sql"]


def test_a_newer_release_s_migrations_are_tolerated(database_url: str, directory: Path) -> None:
    (directory / "9001_newer.sql").write_text("CREATE TABLE newer (a int)")
    migrate(database_url, directory)
    assert migrate(database_url) == []
    assert "9001_newer.sql" in applied(database_url)


def test_waiting_for_another_migration_ends(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "MIGRATION_LOCK_WAIT_S", 0.1)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (postgres.MIGRATION_LOCK,))
        with pytest.raises(MigrationRefused, match="Another process"):
            migrate(database_url)
    assert migrate(database_url) == []


def test_the_stock_recorder_reads_the_log(database_url: str, recorder: PostgresApplicationRecorder) -> None:
    with psycopg.connect(database_url) as connection:
        for version in (1, 2):
            connection.execute(INSERT, ("main/budget/b1", version, version, HASH))
    assert [event.originator_version for event in recorder.select_events("main/budget/b1")] == [1, 2]
    assert [notification.id for notification in recorder.select_notifications(start=1, limit=10)] == [1, 2]
    assert recorder.max_notification_id() == 2


def test_the_stock_subscription_follows_the_log(database_url: str, recorder: PostgresApplicationRecorder) -> None:
    with recorder.subscribe(gt=0) as subscription:
        with psycopg.connect(database_url) as connection:
            connection.execute(INSERT, ("main/budget/b1", 1, 1, HASH))
            connection.execute("NOTIFY stored_events")
        assert next(subscription).originator_id == "main/budget/b1"


def test_the_stock_recorder_can_not_write(recorder: PostgresApplicationRecorder) -> None:
    event = StoredEvent(originator_id="main/budget/b1", originator_version=1, topic="t", state=b"{}")
    recorder.create_table()  # as an unsuspecting program would; it leaves our table as it is
    with pytest.raises(IntegrityError):
        recorder.insert_events([event])
    assert recorder.max_notification_id() is None


@pytest.mark.parametrize(
    ("version", "position", "digest", "refused"),
    [
        (2, 1, HASH, psycopg.errors.UniqueViolation),
        (1, 2, HASH, psycopg.errors.UniqueViolation),
        (0, 2, HASH, psycopg.errors.CheckViolation),
        (2, 0, HASH, psycopg.errors.CheckViolation),
        (2, 2, b"short", psycopg.errors.CheckViolation),
    ],
)
def test_what_does_not_fit_the_log_is_refused(
    database_url: str, version: int, position: int, digest: bytes, refused: type[psycopg.Error]
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(INSERT, ("main/budget/b1", 1, 1, HASH))
        with pytest.raises(refused):
            connection.execute(INSERT, ("main/budget/b1", version, position, digest))


def test_no_column_of_the_log_has_a_default(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = 'stored_events' AND column_default IS NULL"
        ).fetchall()
    assert len(columns) == 11
    assert {name for name, nullable in columns if nullable == "YES"} == {"causation_id"}


def test_the_embedded_server_is_suitable(database_url: str) -> None:
    check_server(database_url)


def test_a_server_that_may_lose_commits_is_refused(database_url: str) -> None:
    with pytest.raises(UnsuitableServer, match="synchronous_commit is off"):
        check_server(f"{database_url}?options=-csynchronous_commit%3Doff")
    check_server(f"{database_url}?options=-csynchronous_commit%3Dlocal")


def test_an_old_server_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "SERVER_VERSION_MIN", 990000)
    with pytest.raises(UnsuitableServer, match=r"its version is 18\.\d+.*, at least 99 is needed"):
        check_server(database_url)


def test_a_database_that_is_not_in_utf8_is_refused(postgres: RunningPostgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING latin1 LOCALE_PROVIDER libc LOCALE 'C' STRATEGY wal_log")
    try:
        with pytest.raises(UnsuitableServer, match="encoding is LATIN1"):
            check_server(f"{postgres.url.rpartition('/')[0]}/latin")
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute("DROP DATABASE latin WITH (FORCE)")


def test_a_transaction_pooler_is_refused(database_url: str) -> None:
    to = conninfo_to_dict(database_url)
    with transaction_pooler(int(str(to["port"]))) as port, pytest.raises(UnsuitableServer, match="transaction pooler"):
        check_server(database_url.replace(f":{to['port']}/", f":{port}/"))


@contextmanager
def transaction_pooler(server_port: int) -> Iterator[int]:
    """As PgBouncer in transaction mode: a client has a server session only while it has a transaction."""
    idle: list[socket] = []
    opened: list[socket] = []
    with create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                opened.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        def serve(client: socket) -> None:
            server = create_connection(("127.0.0.1", server_port))
            opened.append(server)
            while (status := relay(client, server)) != b"I":
                if status is None:
                    return
            idle.insert(0, server)  # last in line, as a session that isn't opened before it is needed
            while (request := client.recv(65536)) and request[:1] != b"X":  # a client's farewell doesn't end the session
                server = idle.pop()
                server.sendall(request)
                while answer(client, server) != b"I":
                    server.sendall(client.recv(65536))
                idle.append(server)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(SHUT_RDWR)  # closing alone doesn't wake accept()
    for end in opened:
        end.close()


def relay(client: socket, server: socket) -> bytes | None:
    """Log-in, in whose course the server asks back: pass on both ways until it is ready for a query."""
    request = client.recv(65536)
    if request[4:8] == (80877103).to_bytes(4, "big"):  # SSLRequest
        client.sendall(b"N")
        return b""
    server.sendall(request)
    return answer(client, server) if request else None


def answer(client: socket, server: socket) -> bytes:
    """Pass on messages until one after which the client is to speak; answers the transaction's status, if it told it."""
    while True:
        kind, length = exactly(server, 1), exactly(server, 4)
        body = exactly(server, int.from_bytes(length, "big") - 4)
        client.sendall(kind + length + body)
        if kind == b"Z":
            return body
        if kind == b"R" and int.from_bytes(body[:4], "big") in (10, 11):  # SASL, and SASLContinue
            return b""


def exactly(end: socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        if not (part := end.recv(size - len(received))):
            raise ConnectionError
        received += part
    return received
