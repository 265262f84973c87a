"""PostgreSQL: forward migrations, and the check that a server can carry the log."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import LiteralString, NamedTuple

import psycopg

MIGRATIONS = Path(__file__).parent / "migrations"
SERVER_VERSION_MIN = 170000  # transaction_timeout, which guards the log's lock, came with 17
MIGRATION_LOCK = 0x6C65_6467_6572_0001  # "ledger", 1: any number that nobody else takes in this database
MIGRATION_LOCK_WAIT_S = 120
CONNECT_TIMEOUT_S = 10
NOTIFICATION_WAIT_S = 5.0

Connection = psycopg.Connection[tuple[object, ...]]


class MigrationRefused(Exception):  # noqa: N818 - it reads as what happened
    """The database's schema and this program's migrations don't fit together."""


class UnsuitableServer(Exception):  # noqa: N818 - it reads as what is the case
    """This PostgreSQL can't carry the log."""


class Migration(NamedTuple):
    name: str
    sql: bytes

    @property
    def digest(self) -> str:
        return sha256(self.sql).hexdigest()


def migrate(url: str, directory: Path = MIGRATIONS) -> list[str]:
    """Bring the schema up to date; answers the names of what was applied now. Several processes may call it at once."""
    migrations = [Migration(file.name, file.read_bytes()) for file in sorted(directory.glob("[0-9][0-9][0-9][0-9]_*.sql"))]
    with _connect(url) as connection, _migration_lock(connection):
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            "name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        pending = _pending(migrations, _applied(connection))
        for migration in pending:
            _apply(connection, migration)
    return [migration.name for migration in pending]


def check_server(url: str) -> None:
    """Raise UnsuitableServer, naming everything that is wrong."""
    with _connect(url) as connection:
        faults = [
            *_version_faults(connection),
            *_durability_faults(connection),
            *_role_faults(connection),
            *_pooler_faults(connection, url),
        ]
    if faults:
        raise UnsuitableServer("This PostgreSQL can't carry the log: " + "; ".join(faults))


def _connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    # A session lock, not a transaction's: each migration has a transaction of its own.
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{MIGRATION_LOCK_WAIT_S}s",))
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    except psycopg.errors.LockNotAvailable as waited:
        raise MigrationRefused(f"Another process has been migrating this database for {MIGRATION_LOCK_WAIT_S} s") from waited
    # No unlock: closing the connection releases it, also after an error that left the connection unusable.
    yield


def _applied(connection: Connection) -> dict[str, str]:
    return {str(name): str(digest) for name, digest in connection.execute("SELECT name, sha256 FROM schema_migrations")}


def _pending(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """A name in the database that this program doesn't know is a newer release's: a rolled-back program may still run."""
    last_applied = max(applied, default="")
    pending = []
    for migration in migrations:
        if migration.name not in applied:
            if migration.name < last_applied:
                raise MigrationRefused(f"{migration.name} was never applied, but the later {last_applied} was; migrations only go forward")
            pending.append(migration)
        elif applied[migration.name] != migration.digest:
            raise MigrationRefused(f"{migration.name} was changed after it had been applied; add a new migration instead")
    return pending


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql)
            connection.execute("INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (migration.name, migration.digest))
    except psycopg.Error as failed:
        raise MigrationRefused(f"{migration.name} failed and was rolled back: {failed}") from failed


def _version_faults(connection: Connection) -> Iterator[str]:
    if connection.info.server_version < SERVER_VERSION_MIN:
        version = _value(connection, "SHOW server_version")
        yield f"its version is {version}, at least {SERVER_VERSION_MIN // 10000} is needed"
    if (encoding := _value(connection, "SHOW server_encoding")) != "UTF8":
        yield f"the database's encoding is {encoding}, not UTF8"


def _durability_faults(connection: Connection) -> Iterator[str]:
    for setting in ("fsync", "synchronous_commit"):
        if _value(connection, "SELECT current_setting(%s)", setting) == "off":
            yield f"{setting} is off, so it may lose what it has acknowledged"


def _role_faults(connection: Connection) -> Iterator[str]:
    if _value(connection, "SELECT pg_is_in_recovery()"):
        yield "it is a standby, which takes no writes"


def _pooler_faults(connection: Connection, url: str) -> Iterator[str]:
    """A pooler gives a server session to whoever has a transaction, so hold one open elsewhere and see who moves."""
    fault = "it is reached through a transaction pooler, connect directly"
    lock = secrets.randbits(62)
    channel = f"probe_{lock}"
    try:
        session = _value(connection, "SELECT pg_backend_pid()")
        connection.execute("SELECT pg_advisory_lock(%s)", (lock,))
        connection.execute(f'LISTEN "{channel}"'.encode())
        with _connect(url) as other, other.transaction():
            other.execute("SELECT pg_notify(%s, '')", (channel,))
            moved = _value(connection, "SELECT pg_backend_pid()") != session
            taken = _value(other, "SELECT pg_try_advisory_xact_lock(%s)", lock)
        if moved or taken:
            yield f"{fault} (locks don't outlive a transaction)"
        elif not list(connection.notifies(timeout=NOTIFICATION_WAIT_S, stop_after=1)):
            yield f"{fault} (LISTEN hears nothing)"
    except psycopg.Error as failed:
        yield f"{fault} (probing it failed: {type(failed).__name__})"


def _value(connection: Connection, query: LiteralString, *parameters: object) -> object:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]
