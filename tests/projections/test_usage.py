"""Usage and completions: events in, rows out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from domain.completion.events import EndReason
from projections import completions, usage_reports
from projections.completions import Wanted as WantedCompletions
from projections.usage_reports import Sums, Wanted, total
from tests import examples as a
from tests.projections.handwritten import BEGAN, HandwrittenLog, projected, rows

Connection = psycopg.AsyncConnection[Any]
MINUTES = timedelta(minutes=17)
COST = 7_750_000
ONE = Sums(1, 1, 1_000, 525, COST, 2_000)


def times(count: int) -> Sums:
    return Sums(*(count * amount for amount in ONE))


def settled_hourly(log: HandwrittenLog, count: int) -> list[datetime]:
    """So many completions, each settled 34 minutes after the one before. Answers when."""
    ends = []
    for number in range(count):
        log.write((f"completion/c{number}", a.completion_admitted()), every=MINUTES)
        log.write((f"completion/c{number}", a.completion_settled()), every=MINUTES)
        ends.append(log.at)
    projected(log.url)
    return ends


async def test_settlements_are_counted_by_the_hour_per_key_team_and_model(log: HandwrittenLog) -> None:
    settled_hourly(log, 3)
    log.write(("completion/x", a.completion_admitted(api_key_id="other")), ("completion/x", a.completion_settled(cost_nanos=None)))
    projected(log.url)
    found = rows(
        log.url, "usage_hours", "api_key_id, team_id, model_id, hour, requests, cost_nanos, cost_unknown, input_tokens, output_tokens"
    )
    assert sorted(found) == [
        (a.API_KEY_ID, a.TEAM_ID, a.MODEL_ID, BEGAN, 1, COST, 0, 1_000, 525),
        (a.API_KEY_ID, a.TEAM_ID, a.MODEL_ID, BEGAN + timedelta(hours=1), 2, 2 * COST, 0, 2_000, 1_050),
        ("other", a.TEAM_ID, a.MODEL_ID, BEGAN + timedelta(hours=1), 1, 0, 1, 1_000, 525),
    ]
    assert rows(log.url, "usage_uncounted") == []


async def test_sums_over_any_span_are_the_sums_of_its_records(log: HandwrittenLog, connection: Connection) -> None:
    ends = settled_hourly(log, 8)
    edges = [BEGAN, *ends, *(end + timedelta(seconds=1) for end in ends), BEGAN + timedelta(hours=2), BEGAN + timedelta(hours=3)]
    for since in edges:
        for until in (edge for edge in edges if edge > since):
            wanted = Wanted(org="main", since=since, until=until)
            page = await usage_reports.records(connection, wanted, after=None, offset=0, limit=100)
            assert total(await usage_reports.days(connection, wanted)) == times(len(page.rows)), (since, until)
            assert len(page.rows) == sum(since <= end < until for end in ends)
    assert total(await usage_reports.days(connection, Wanted(org="main"))) == times(8)
    assert total(await usage_reports.days(connection, Wanted(org="main", model_id="other"))) == Sums()


async def test_days_begin_at_midnight(log: HandwrittenLog, connection: Connection) -> None:
    log.at = datetime(2026, 3, 4, 23, 20, tzinfo=UTC)
    settled_hourly(log, 3)
    first, second = await usage_reports.days(connection, Wanted(org="main"))
    assert (first.begins, first.sums) == (datetime(2026, 3, 4, tzinfo=UTC), times(1))
    assert (second.begins, second.sums) == (datetime(2026, 3, 5, tzinfo=UTC), times(2))


async def test_what_is_deleted_is_gone_to_the_second(log: HandwrittenLog, connection: Connection) -> None:
    ends = settled_hourly(log, 6)
    for gone in (2, 4):
        log.write(("usage/records", a.usage_deleted(before=ends[gone])))
        projected(log.url)
        assert total(await usage_reports.days(connection, Wanted(org="main"))) == times(6 - gone)
        page = await usage_reports.records(connection, Wanted(org="main"), after=None, offset=0, limit=100)
        assert [each.settled_at for each in page.rows] == ends[: gone - 1 : -1]
    assert all(hour >= ends[4] - timedelta(hours=1) for (hour,) in rows(log.url, "usage_hours", "hour"))
    assert await usage_reports.count(connection, Wanted(org="main", until=ends[4])) == 4


async def test_a_correction_takes_the_place_of_what_was_counted(log: HandwrittenLog, connection: Connection) -> None:
    recovered = a.completion_settled(
        end_reason=EndReason.RECOVERED, recovered=True, attempts=(), cost_nanos=99, usage_source="estimated", latency_ms=0
    )
    log.write(("completion/c", a.completion_admitted()), ("completion/c", recovered))
    projected(log.url)
    assert total(await usage_reports.days(connection, Wanted(org="main"))) == Sums(1, 0, 0, 0, 99, 0)
    log.write(("completion/c", a.completion_corrected()), every=timedelta(hours=2))
    projected(log.url)
    assert rows(log.url, "usage_hours", "hour, requests, successes, cost_nanos") == [(BEGAN, 1, 1, COST)]
    (completion,) = (await completions.select(connection, WantedCompletions(org="main"))).rows
    assert (completion.status, completion.ended, completion.events) == ("settled", a.completion_corrected(), [1, 2, 3])


async def test_a_completion_has_its_whole_story(log: HandwrittenLog, connection: Connection) -> None:
    log.write(("completion/c", a.completion_admitted()), ("completion/c", a.completion_hold_raised()))
    projected(log.url)
    (completion,) = (await completions.select(connection, WantedCompletions(org="main", completion_id="c"))).rows
    assert (completion.status, completion.settled_at, completion.ended, completion.events) == ("open", None, None, [1, 2])
    assert completion.spent_nanos(completion.holds[0]) is None
    log.write(("team/a", a.team_created()), ("completion/c", a.completion_progressed()), ("completion/c", a.completion_settled()))
    projected(log.url)
    (completion,) = (await completions.select(connection, WantedCompletions(org="main", status="settled"))).rows
    assert (completion.admission, completion.settlement) == (a.completion_admitted(), a.completion_settled())
    assert (completion.progress_tokens, completion.events) == (400, [1, 2, 4, 5])
    assert [hold.nanos for hold in completion.holds] == [25_000_000]
    assert completion.spent_nanos(completion.holds[0]) == 7_750_000


async def test_completions_come_in_pages_the_youngest_first(log: HandwrittenLog, connection: Connection) -> None:
    log.write(*((f"completion/c{number}", a.completion_admitted()) for number in range(5)), every=timedelta(0))
    log.write(("completion/c1", a.completion_settled(end_reason=EndReason.PROVIDER_ERROR)))
    projected(log.url)
    first = await completions.select(connection, WantedCompletions(org="main", limit=3))
    last = first.rows[-1]
    after = (last.admitted_at, last.admitted_position)
    rest = await completions.select(connection, WantedCompletions(org="main", limit=3, after=after))
    assert [each.id for each in (*first.rows, *rest.rows)] == ["c4", "c3", "c2", "c1", "c0"]
    assert (first.more, rest.more) == (True, False)
    assert [each.id for each in (await completions.select(connection, WantedCompletions(org="main", status="failed", limit=9))).rows] == [
        "c1"
    ]
