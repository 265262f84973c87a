"""`verify` against a real log: what was tampered with is found and named by its position, and liveness is what PostgreSQL's locks say."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from adapters.liveness import living
from adapters.log import auditing, statements
from adapters.log.auditing import Report, verify
from adapters.log.chain import GENESIS, link
from adapters.log.codec import Row, columns, encode
from domain.budget.events import BudgetLimitChanged, BudgetOpened
from domain.kernel import Event
from domain.process.events import ProcessStarted
from domain.team.events import TeamCreated, TeamRenamed
from domain.time import EPOCH, Period, unix_micros
from tests.domain.test_audit import admitted, hold, settled

BEGAN = datetime(2026, 3, 4, 9, tzinfo=UTC)
LOCK_KEY = (0x1234 << 32) | 0xFEDC_BA98


def write(url: str, said: Sequence[tuple[str, Event]], *, began: datetime = BEGAN) -> None:
    """A log written by hand, each event a second after the one before."""
    rows: list[Row] = []
    versions: dict[str, int] = {}
    previous = GENESIS
    for position, (name, event) in enumerate(said, start=1):
        stream, at, state = f"main/{name}", began + timedelta(seconds=position), encode(event)
        version = versions[stream] = versions.get(stream, 0) + 1
        previous = link(previous, position, version, stream, event.topic, unix_micros(at), "main", "key:admin", "r", None, state)
        rows.append(Row(position, stream, version, event.topic, at, "main", "key:admin", "r", None, state, previous))
    with psycopg.connect(url) as connection:
        connection.execute(statements.INSERT, columns(rows))


def named(names: int) -> list[tuple[str, Event]]:
    return [("team/a", TeamCreated(name="A")), *(("team/a", TeamRenamed(name=f"A{number}")) for number in range(names))]


def tamper(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        connection.execute(statement.encode())


def found(report: Report) -> list[tuple[int, str]]:
    return [(position, message) for position, message in report.findings]


@pytest.fixture
def log_url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ten events in pages of three, so that every test crosses pages."""
    monkeypatch.setattr(auditing, "PAGE_ROWS", 3)
    write(database_url, named(9))
    return database_url


def test_a_log_that_nobody_touched_is_verified(log_url: str) -> None:
    told: list[tuple[int, int]] = []
    report = verify(log_url, lambda position, head: told.append((position, head)))
    assert (report.verified, report.position, len(report.hash)) == (True, 10, 32)
    assert told[-1] == (10, 10)


def test_an_empty_log_is_verified(database_url: str) -> None:
    report = verify(database_url)
    assert (report.verified, report.position, report.hash) == (True, 0, GENESIS)


def test_one_changed_byte_is_found_at_its_position_alone(log_url: str) -> None:
    tamper(log_url, "UPDATE stored_events SET state = set_byte(state, 9, 66) WHERE notification_id = 4")
    ((position, message),) = found(verify(log_url))
    assert (position, message.split(":")[0]) == (4, "the hash does not fit")


@pytest.mark.parametrize(
    "change",
    [
        "topic = 'team.deleted.v1'",
        "at = at + interval '1 microsecond'",
        "org = 'other'",
        "by = 'key:other'",
        "correlation_id = 's'",
        "causation_id = ''",
        "hash = sha256(hash)",
    ],
)
def test_every_column_is_covered(log_url: str, change: str) -> None:
    tamper(log_url, f"UPDATE stored_events SET {change} WHERE notification_id = 10")
    assert found(verify(log_url))[0][0] == 10


def test_a_deleted_row_is_missed(log_url: str) -> None:
    tamper(log_url, "DELETE FROM stored_events WHERE notification_id = 5")
    assert found(verify(log_url)) == [
        (5, "the event at position 5 is missing"),
        (6, "main/team/a goes from version 4 to 6"),
    ]


def test_deleted_beginnings_and_ranges_are_missed(log_url: str) -> None:
    tamper(log_url, "DELETE FROM stored_events WHERE notification_id < 4")
    assert found(verify(log_url))[0] == (1, "the events at positions 1 to 3 are missing")


def test_a_cut_end_shows_in_the_head_that_is_reported(log_url: str) -> None:
    """Nothing in a log can say that more came after its end: whoever noted the head can."""
    before = verify(log_url)
    tamper(log_url, "DELETE FROM stored_events WHERE notification_id = 10")
    after = verify(log_url)
    assert (before.position, after.position, after.verified) == (10, 9, True)
    assert before.hash != after.hash


def test_swapped_rows_are_found(log_url: str) -> None:
    tamper(log_url, "UPDATE stored_events SET notification_id = 1000 WHERE notification_id = 4")
    tamper(log_url, "UPDATE stored_events SET notification_id = 4 WHERE notification_id = 5")
    tamper(log_url, "UPDATE stored_events SET notification_id = 5 WHERE notification_id = 1000")
    positions = [position for position, _ in found(verify(log_url))]
    assert {4, 5} <= set(positions) <= {4, 5, 6}


def test_swapped_contents_are_found(log_url: str) -> None:
    tamper(
        log_url,
        "UPDATE stored_events AS one SET state = other.state FROM stored_events AS other "
        "WHERE one.notification_id IN (4, 5) AND other.notification_id = 9 - one.notification_id",
    )
    assert [position for position, _ in found(verify(log_url))] == [4, 5]


def test_an_event_that_can_not_be_read_is_named_and_the_rest_is_verified(database_url: str) -> None:
    class TeamFrozen(Event):
        topic = "team.frozen.v9"

    write(database_url, [("team/a", TeamCreated(name="A")), ("team/a", TeamFrozen()), ("team/a", TeamRenamed(name="B"))])
    report = verify(database_url)
    assert report.position == 3
    assert [position for position, _ in found(report)] == [2]


def test_an_absurd_event_does_not_keep_the_rest_from_being_verified(database_url: str) -> None:
    long_ago = datetime.min.replace(tzinfo=UTC)  # in New York it was not yet the year 1
    opened = BudgetOpened(name="B", period=Period.DAILY, hard_limit_nanos=1, time_zone="America/New_York")
    write(database_url, [("budget/b", opened), ("budget/c", BudgetLimitChanged(hard_limit_nanos=1))], began=long_ago)
    findings = found(verify(database_url))
    assert (1, "budget.opened.v1 of main/budget/b makes no sense (OverflowError)") in findings
    assert (2, "main/budget/c is changed and was not opened") in findings


def test_an_admission_beyond_the_limit_is_named_and_the_money_is_summed(database_url: str) -> None:
    opened = BudgetOpened(name="B", period=Period.LIFETIME, hard_limit_nanos=100)
    beyond = admitted(hold(101, period_start=EPOCH))
    write(database_url, [("budget/b", opened), ("completion/c", beyond), ("completion/d", settled())])
    report = verify(database_url)
    assert [position for position, _ in report.findings] == [2, 2, 3]
    assert "over its limit" in report.findings[1].message
    (budget,) = report.budgets
    assert (budget.held_nanos, budget.settled_nanos) == (101, 0)


async def test_open_completions_are_a_matter_of_their_process_holding_its_lock(database_url: str) -> None:
    write(database_url, [("process/p", ProcessStarted(lock_key=LOCK_KEY, version="1")), ("completion/c", admitted())])
    async with living(database_url, LOCK_KEY):
        report = verify(database_url)
        assert (report.verified, list(report.books.open)) == (True, ["main/completion/c"])
    assert found(verify(database_url)) == [(2, "main/completion/c is open and its process p is not alive; it awaits recovery")]


def test_many_findings_are_counted_and_some_are_kept(log_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "FINDINGS_MAX", 2)
    tamper(log_url, "UPDATE stored_events SET by = 'key:other'")
    report = verify(log_url)
    assert (len(report.findings), report.findings_count) == (2, 10)
