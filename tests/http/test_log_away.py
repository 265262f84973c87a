"""While this process can't follow the log, what is known is answered, and a 'no' is not given."""

import asyncio

import psycopg
import pytest

from adapters.log import reading
from adapters.log.reading import PostgresEvents
from application import freshness
from application.ports import EventFilter
from domain.errors import Unavailable
from tests.http.conftest import Gateway


@pytest.fixture
def log_away(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "CATCH_UP_WAIT_S", 0.01)
    monkeypatch.setattr(gateway.log, "catch_up", asyncio.Event().wait)


@pytest.mark.usefixtures("log_away")
async def test_what_is_known_is_shown(gateway: Gateway) -> None:
    shown = await gateway.ask("GET", "/admin/teams/administrators")
    assert (shown.status, shown.json["id"]) == (200, "administrators")


@pytest.mark.usefixtures("log_away")
async def test_an_unknown_key_is_not_called_wrong(gateway: Gateway) -> None:
    answer = await gateway.ask("GET", "/admin/teams", secret="pk_test_perhaps-just-issued-elsewhere")
    assert (answer.status, answer.error["type"]) == (503, "service_unavailable_error")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.usefixtures("log_away")
async def test_an_unknown_team_is_not_called_unknown(gateway: Gateway) -> None:
    answer = await gateway.ask("POST", "/admin/api-keys", {"name": "n", "permissions": {}, "team_id": "made-elsewhere"})
    assert answer.status == 503


async def test_events_that_cannot_be_read_are_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CONNECTION_WAIT_S", 0.05)
    events = PostgresEvents("postgresql://nobody@127.0.0.1:1/nothing")
    await events.open()
    with pytest.raises(Unavailable):
        await events.page(EventFilter(limit=1))
    await events.close()


async def test_a_search_that_takes_too_long_is_given_up(http_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SESSION", "-c statement_timeout=50")
    monkeypatch.setitem(reading.CONDITIONS, "topic", "pg_sleep(10) IS NOT NULL AND topic = %(topic)s")
    events = PostgresEvents(http_database_url)
    await events.open()
    with pytest.raises(Unavailable, match="took too long"):
        await events.page(EventFilter(limit=1, topic="team.created.v1"))
    await events.close()


async def test_readers_cannot_write(http_database_url: str) -> None:
    with psycopg.connect(http_database_url, options=reading.SESSION) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("DELETE FROM stored_events")
