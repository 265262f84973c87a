"""The eventsourcing library's recorder over our log: it reads as the library promises, in keyset pages, and can't append."""

from collections.abc import Sequence
from typing import Any, Final, NoReturn

import psycopg
from eventsourcing.persistence import Notification, NotSupportedError, PersistenceError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from adapters.log import statements
from adapters.log.connection import KEEPALIVES

TABLE: Final = "stored_events"
SESSION: Final = "-c default_transaction_read_only=on -c TimeZone=UTC"
POSITION_MAX: Final = 2**63 - 1

HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM stored_events"

NOTIFICATIONS: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
WHERE notification_id BETWEEN %s AND %s AND (%s::text[] IS NULL OR topic = ANY(%s)) ORDER BY notification_id LIMIT %s
"""

Page = list[tuple[Any, ...]]
"""Rows in the order of `codec.COLUMNS`."""


class LogRecorder(PostgresApplicationRecorder):
    """For the library's subscriptions, and for the projector. A subscription needs a connection beside the one that it reads by."""

    def __init__(self, url: str, *, connections: int = 2) -> None:
        super().__init__(_datastore(url, connections), events_table_name=TABLE)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> NoReturn:
        raise NotSupportedError("Only the writer appends to the log")

    def select_notifications(
        self, start: int | None, limit: int, stop: int | None = None, topics: Sequence[str] = (), *, inclusive_of_start: bool = True
    ) -> Sequence[Notification]:
        """Without a row's dictionary in between: half of what reading costs."""
        first = 0 if start is None else start if inclusive_of_start else start + 1
        named = list(topics) or None
        asked = first, POSITION_MAX if stop is None else stop, named, named, limit
        return [
            Notification(id=position, originator_id=stream, originator_version=version, topic=topic, state=state)
            for position, stream, version, topic, state in self._rows(NOTIFICATIONS, asked)
        ]

    def page(self, position: int, limit: int) -> Page:
        """Rows with their envelopes, from a position on."""
        return self._asked(statements.TAIL, (position, limit))

    def head(self) -> int:
        """The last position; 0: nothing has happened yet."""
        return int(self._asked(HEAD, ())[0][0])

    def close(self) -> None:
        self.datastore.close()

    def _asked(self, statement: str, asked: tuple[Any, ...]) -> Page:
        """Raises psycopg's errors, and not the library's: those who ask so know nothing of it."""
        try:
            return self._rows(statement, asked)
        except PersistenceError as error:
            raise (error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error) from None

    def _rows(self, statement: str, asked: tuple[Any, ...]) -> Page:
        with self.datastore.get_connection() as connection, connection.cursor(binary=True, row_factory=tuple_row) as cursor:
            return cursor.execute(statement.encode(), asked, prepare=True).fetchall()


def _datastore(url: str, connections: int) -> PostgresDatastore:
    """The library takes an address in five parts; whatever else the URL says (TLS, say) is handed to its pool."""
    address = conninfo_to_dict(url)
    parts = {name: str(address.get(name) or "") for name in ("dbname", "host", "port", "user", "password")}
    datastore = PostgresDatastore(**parts, pool_size=connections, originator_id_type="text")  # type: ignore[arg-type]
    kwargs = datastore.pool.kwargs
    assert isinstance(kwargs, dict)
    kwargs.update({"application_name": "gateway reader", **address, **KEEPALIVES, "options": SESSION})
    return datastore
