"""/admin/usage: what completions used, record by record and in sums; and deleting the records of the past."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from domain.errors import Invalid
from domain.ids import ORG_DEFAULT
from domain.time import EPOCH, unix_seconds
from domain.usage.commands import DeleteUsage
from domain.usage.events import UsageDeleted
from domain.usage.usage import RECORDS
from entrypoints.http.authentication import asker
from entrypoints.http.cursors import cursor_of, place_of
from entrypoints.http.query_string import text, whole_number
from entrypoints.http.routing import Question, Shown, asking, of_commit, query, submit
from entrypoints.http.wire import Row, answer, usd
from projections import completions, usage, usage_reports
from projections.usage_reports import BEGINNING, END, Day, Record, Sums, Wanted

LIMIT_DEFAULT: Final = 1_000
LIMIT_MAX: Final = 10_000
OFFSET_MAX: Final = 2**31
UNIX_MAX: Final = 2**64 - 1
LAST_SECOND: Final = unix_seconds(datetime(9999, 12, 30, tzinfo=UTC))
"""Beyond it, time has no end."""

USAGE_TYPES: Final = {"embedding": "embedding"}
"""By kind of completion; all others are chat completions."""


async def records(question: Question) -> Shown:
    said = question.said
    found = await usage_reports.records(
        question.connection,
        wanted(said),
        after=place_of(said, "after"),
        offset=whole_number(said, "offset", at_most=OFFSET_MAX) or 0,
        limit=whole_number(said, "limit", at_least=1, at_most=LIMIT_MAX) or LIMIT_DEFAULT,
    )
    last = found.rows[-1] if found.more else None
    following = {} if last is None else {"next": cursor_of(last.settled_at, last.settled_position)}
    return Shown({"records": [record_row(each) for each in found.rows], "count": len(found.rows)} | following)


async def aggregate(question: Question) -> Shown:
    days = await usage_reports.days(question.connection, wanted(question.said))
    return Shown(aggregate_row(usage_reports.total(days)))


async def summary(question: Question) -> Shown:
    """Its bounds are those of the question; without any, all time until now."""
    days = await usage_reports.days(question.connection, wanted(question.said))
    now = unix_seconds(question.world.clock.now())
    end = whole_number(question.said, "to_timestamp", at_most=UNIX_MAX)
    return Shown({
        "period_start": whole_number(question.said, "from_timestamp", at_most=UNIX_MAX) or 0,
        "period_end": now if end is None else end,
        "aggregate": aggregate_row(usage_reports.total(days)),
        "daily": [day_row(day) for day in days],
    })  # fmt: skip


def wanted(said: Mapping[str, str]) -> Wanted:
    """The last second counts whole."""
    since, until = second(said, "from_timestamp"), second(said, "to_timestamp")
    return Wanted(
        org=ORG_DEFAULT,
        api_key_id=text(said, "api_key_id"),
        team_id=text(said, "team_id"),
        model_id=text(said, "model_id"),
        since=since or BEGINNING,
        until=END if until is None else until + timedelta(seconds=1),
    )


def second(said: Mapping[str, str], name: str) -> datetime | None:
    unix = whole_number(said, name, at_most=UNIX_MAX)
    return None if unix is None else EPOCH + timedelta(seconds=min(unix, LAST_SECOND))


def record_row(record: Record) -> Row:
    succeeded = record.status == "settled"
    cost: Row = {"cost_usd": usd(record.cost_nanos or 0), "cost_nanos": record.cost_nanos}
    return {
        "id": record.id,
        "usage_type": USAGE_TYPES.get(record.kind, "chat_completion"),
        "api_key_id": record.api_key_id,
        "team_id": record.team_id,
        "model_id": record.model_id,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "total_tokens": record.input_tokens + record.output_tokens,
        **cost,
        "latency_ms": record.latency_ms,
        "success": succeeded,
        "error": None if succeeded else record.end_reason,
        "timestamp": unix_seconds(record.settled_at),
    }


def aggregate_row(sums: Sums) -> Row:
    return {
        "total_requests": sums.requests,
        "successful_requests": sums.successes,
        "failed_requests": sums.requests - sums.successes,
        "total_input_tokens": sums.input_tokens,
        "total_output_tokens": sums.output_tokens,
        "total_tokens": sums.input_tokens + sums.output_tokens,
        "total_cost_usd": usd(sums.cost_nanos),
        "total_cost_nanos": sums.cost_nanos,
        "avg_latency_ms": quotient(sums.latency_ms, sums.requests),
        "success_rate": quotient(sums.successes, sums.requests),
    }


def day_row(day: Day) -> Row:
    return {
        "date": unix_seconds(day.begins),
        "requests": day.sums.requests,
        "tokens": day.sums.input_tokens + day.sums.output_tokens,
        "cost_usd": usd(day.sums.cost_nanos),
        "cost_nanos": day.sums.cost_nanos,
    }


def quotient(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


async def delete(request: web.Request) -> web.Response:
    """What is deleted is counted where it was read from: once that has come so far."""
    who = await asker(request)
    before = second(request.query, "before_timestamp")
    if before is None:
        raise Invalid("before_timestamp: Field required", param="before_timestamp")
    done = await submit(request, who, DeleteUsage(records_id=RECORDS, before=before))
    match [recorded.event for recorded in done.events]:
        case [UsageDeleted(before=reached, since=since)]:
            async with asking(request, usage, completions) as (question, headers):
                gone = Wanted(org=ORG_DEFAULT, since=since or BEGINNING, until=reached)
                count = await usage_reports.count(question.connection, gone)
        case _:
            headers, count = dict[str, Any](), 0
    return answer({"deleted": count}, headers=headers | of_commit(done))


ROUTES: Final = (
    query("/admin/usage", records, usage, completions),
    query("/admin/usage/aggregate", aggregate, usage, completions),
    query("/admin/usage/summary", summary, usage, completions),
    web.delete("/admin/usage", delete),
)
