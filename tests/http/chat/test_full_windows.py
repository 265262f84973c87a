"""A key whose window is full is refused at once, by what is in memory: a storm of such requests never reaches the log."""

import asyncio

from domain.api_key.events import RateLimits
from tests.http.chat.conftest import PATH, Desk
from tests.http.conftest import Answer


async def limited(desk: Desk, **limits: int) -> str:
    return await desk.issue_key(f"{desk.name}-limited", rate_limits=RateLimits(**limits))


async def ask(desk: Desk, secret: str) -> Answer:
    return await desk.gateway.ask("POST", PATH, desk.body(), secret=secret)


def commands(desk: Desk) -> int:
    """That have been decided."""
    return desk.gateway.log.writer.measures.commands


async def test_a_storm_of_refused_requests_does_not_reach_the_log(desk: Desk) -> None:
    secret = await limited(desk, requests_per_hour=2)
    assert [(await ask(desk, secret)).status for _ in range(2)] == [200, 200]
    decided = commands(desk)
    answers = await asyncio.gather(*(ask(desk, secret) for _ in range(100)))
    assert {answer.status for answer in answers} == {429}
    assert commands(desk) == decided
    assert len(desk.provider.received) == 2


async def test_it_is_told_as_the_log_would_tell_it(desk: Desk) -> None:
    secret = await limited(desk, requests_per_minute=1)
    await ask(desk, secret)
    refused = await ask(desk, secret)
    assert (refused.error["type"], refused.error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert refused.error["message"] == "This API key has reached its limit of 1 requests per minute."
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    counter = desk.world.refusals.counters[f"{desk.name}-limited", "requests_per_minute"]  # type: ignore[index]
    assert counter.count == 1


async def test_of_a_burst_exactly_as_many_are_admitted_as_the_limit_allows(desk: Desk) -> None:
    secret = await limited(desk, requests_per_day=7)
    answers = await asyncio.gather(*(ask(desk, secret) for _ in range(40)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [429] * 33


async def test_a_raised_limit_holds_at_once(desk: Desk) -> None:
    secret = await limited(desk, requests_per_hour=1)
    assert [(await ask(desk, secret)).status for _ in range(2)] == [200, 429]
    await desk.gateway.done("PUT", f"/admin/api-keys/{desk.name}-limited", {"rate_limits": {"requests_per_hour": 2}})
    assert [(await ask(desk, secret)).status for _ in range(2)] == [200, 429]
