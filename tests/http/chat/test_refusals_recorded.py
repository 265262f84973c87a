"""Refused requests leave a trace in the log: counts per key and rule, the first at once, and never an event per request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from application.reactions import record_refusals
from application.reactions.record_refusals import report, report_the_last
from domain.budget.events import AtLimit
from tests.http.chat.conftest import Desk

TOPIC = "refusal.recorded.v1"


@pytest.fixture
async def reporting(desk: Desk) -> AsyncIterator[Callable[[], Any]]:
    """As in a running gateway; what is returned ends it as a stopping one does."""
    task = asyncio.create_task(report(desk.world))

    async def stop() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await report_the_last(desk.world)

    yield stop
    await stop()


async def reports(desk: Desk, expected: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(5):
        while len(found := await desk.recorded(TOPIC)) < expected:  # noqa: ASYNC110 (it is asked over HTTP)
            await asyncio.sleep(0.01)
    return [event["data"] for event in found]


@pytest.mark.usefixtures("reporting")
async def test_the_first_refusal_is_recorded_at_once_with_the_request_that_it_refused(desk: Desk) -> None:
    await desk.open_budget(1, AtLimit.REJECT)
    answer = await desk.ask()
    assert answer.error["type"] == "insufficient_quota"
    (report,) = await reports(desk, 1)
    request_id = answer.headers["x-request-id"]
    assert report == {"api_key_id": desk.name, "rule": "budget", "count": 1, "window_s": 0, "first_request_id": request_id}
    found = await desk.gateway.done("GET", f"/admin/events?correlation_id={request_id}")
    assert [event["topic"] for event in found["events"]] == [TOPIC]


async def test_a_hundred_refusals_are_two_events(desk: Desk, reporting: Callable[[], Any]) -> None:
    await desk.open_budget(1, AtLimit.REJECT)
    await desk.ask()
    await reports(desk, 1)
    answers = await asyncio.gather(*(desk.ask() for _ in range(99)))
    assert {answer.status for answer in answers} == {429}
    await reporting()
    assert [report["count"] for report in await reports(desk, 2)] == [1, 99]


async def test_the_others_are_recorded_with_the_minute(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_refusals, "REPORT_EVERY_S", 0.3)
    await desk.open_budget(1, AtLimit.REJECT)
    task = asyncio.create_task(report(desk.world))
    for _ in range(5):
        await desk.ask()
    async with asyncio.timeout(5):
        while sum(report["count"] for report in await reports(desk, 1)) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_each_rule_is_counted_by_its_name(desk: Desk, reporting: Callable[[], Any]) -> None:
    await desk.open_budget(1, AtLimit.REJECT)
    await desk.ask()
    await desk.ask(model="no-such-model")
    await desk.ask(temperature="not a number")
    await reporting()
    assert {report["rule"] for report in await reports(desk, 2)} == {"budget", "model_not_found"}


async def test_unknown_keys_share_one_count_whatever_they_send(desk: Desk, reporting: Callable[[], Any]) -> None:
    before = await unauthenticated(desk)
    for number in range(20):
        answer = await desk.gateway.ask("POST", "/v1/chat/completions", desk.body(), secret=f"pk_test_nobody-{number}")
        assert answer.status == 401
    await desk.gateway.ask("POST", "/v1/chat/completions", desk.body(), secret="ill-formed")
    assert len(desk.world.refusals.counters) <= 1
    await reporting()
    after = await unauthenticated(desk)
    assert sum(report["count"] for report in after) - sum(report["count"] for report in before) == 21
    assert 1 <= len(after) - len(before) <= 2
    assert all(report["api_key_id"] is None for report in after)


async def unauthenticated(desk: Desk) -> list[dict[str, Any]]:
    found = await desk.gateway.done("GET", f"/admin/events?topic={TOPIC}&by=system:refusals&limit=1000")
    return [event["data"] for event in found["events"]]


async def test_a_report_asked_for_again_is_recorded_once(desk: Desk, reporting: Callable[[], Any], http_database_url: str) -> None:
    await desk.open_budget(1, AtLimit.REJECT)
    await desk.ask()
    await reporting()
    with psycopg.connect(http_database_url) as connection:
        rows = connection.execute("SELECT originator_version FROM stored_events WHERE topic = %s", (TOPIC,)).fetchall()
    assert {version for (version,) in rows} == {1}
