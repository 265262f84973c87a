"""Counting refusals: the first is reported at once, the others by the minute; however many there are, the memory is bounded."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.clock import SystemClock
from application import refusals as counting
from application.refusals import Refusals, rule_of
from domain.errors import (
    BudgetExceeded,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Refusal,
    Unauthenticated,
    Unavailable,
    Unreadable,
)
from domain.ids import ApiKeyId
from domain.refusal.commands import RecordRefusals

KEY = ApiKeyId("k")
OVER_BUDGET = BudgetExceeded(budget_id="b")
TOO_OFTEN = RateLimited(limit="requests_per_minute", retry_after=timedelta(seconds=1))


@dataclass
class Stopwatch(SystemClock):
    at: float = 100.0

    def __post_init__(self) -> None:
        super().__init__()

    def monotonic(self) -> float:
        return self.at

    def uuid7(self) -> UUID:
        return super().uuid7()


@pytest.fixture
def clock() -> Stopwatch:
    return Stopwatch()


def drawn(refusals: Refusals, clock: Stopwatch, *, minute_over: bool) -> list[RecordRefusals]:
    refusals.draw(clock, minute_over=minute_over)
    reports = list(refusals.reports.values())
    refusals.reports.clear()
    return reports


def figures(reports: list[RecordRefusals]) -> list[tuple[str | None, str, int, int]]:
    return [(report.api_key_id, report.rule, report.count, report.window_s) for report in reports]


def test_the_first_is_reported_at_once_and_the_others_with_the_minute(clock: Stopwatch) -> None:
    refusals = Refusals()
    refusals.count(KEY, OVER_BUDGET, "r1", clock.at)
    (first,) = drawn(refusals, clock, minute_over=False)
    assert (figures([first]), first.first_request_id) == ([("k", "budget", 1, 0)], "r1")
    for number in range(2, 9):
        refusals.count(KEY, OVER_BUDGET, f"r{number}", clock.at)
    assert drawn(refusals, clock, minute_over=False) == []
    clock.at += 60
    (rest,) = drawn(refusals, clock, minute_over=True)
    assert (figures([rest]), rest.first_request_id) == ([("k", "budget", 7, 60)], "r2")


def test_after_a_quiet_minute_the_next_one_is_the_first_again(clock: Stopwatch) -> None:
    refusals = Refusals()
    refusals.count(KEY, OVER_BUDGET, "r1", clock.at)
    drawn(refusals, clock, minute_over=False)
    assert drawn(refusals, clock, minute_over=True) == []
    assert refusals.counters == {}
    refusals.count(KEY, OVER_BUDGET, "r2", clock.at)
    assert len(drawn(refusals, clock, minute_over=False)) == 1


def test_keys_and_rules_are_counted_apart(clock: Stopwatch) -> None:
    refusals = Refusals()
    for key, refusal in ((KEY, OVER_BUDGET), (KEY, TOO_OFTEN), (ApiKeyId("l"), OVER_BUDGET), (None, Unauthenticated()), (KEY, TOO_OFTEN)):
        refusals.count(key, refusal, "r", clock.at)
    reports = figures(drawn(refusals, clock, minute_over=False))
    assert reports == [
        ("k", "budget", 1, 0),
        ("k", "requests_per_minute", 2, 0),
        ("l", "budget", 1, 0),
        (None, "unauthenticated", 1, 0),
    ]


def test_beyond_so_many_counters_keys_are_not_told_apart(clock: Stopwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "COUNTERS_MAX", 10)
    refusals = Refusals()
    for number in range(1_000):
        refusals.count(ApiKeyId(f"k{number}"), OVER_BUDGET, "r", clock.at)
    assert len(refusals.counters) == 11
    reports = drawn(refusals, clock, minute_over=True)
    assert sum(report.count for report in reports) == 1_000
    assert figures(reports)[-1] == (None, "budget", 990, 0)


@pytest.mark.parametrize(
    ("refusal", "rule"),
    [
        (TOO_OFTEN, "requests_per_minute"),
        (OVER_BUDGET, "budget"),
        (Unauthenticated(), "unauthenticated"),
        (Forbidden("no", code="team_suspended"), "team_suspended"),
        (NotFound("no", code="model_not_found"), "model_not_found"),
        (Invalid("no", code="price_unknown"), "price_unknown"),
        (Invalid("no", code="json_parse_error"), None),
        (Invalid("no"), None),
        (Conflict("no"), None),
        (Unavailable(), None),
        (Unreadable(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Refusal) else str(value),
)
def test_what_counts_is_a_rule_that_refused(refusal: Refusal, rule: str | None) -> None:
    assert rule_of(refusal) == rule
