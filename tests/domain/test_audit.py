"""The auditor's books: what adds up is silent, and each promise that a log breaks is named where it breaks."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from domain.audit import Books, Finding, abandoned, budgets, enter
from domain.budget.events import (
    BudgetClosed,
    BudgetDisabled,
    BudgetEnabled,
    BudgetLimitChanged,
    BudgetOpened,
    BudgetReset,
    BudgetScopeChanged,
    Scope,
)
from domain.completion.events import (
    Attempt,
    CompletionAdmitted,
    CompletionCorrected,
    CompletionHoldRaised,
    CompletionReadmitted,
    CompletionSettled,
    EndReason,
    Hold,
    HoldCorrection,
    HoldOutcome,
)
from domain.ids import ApiKeyId, BudgetId, ModelId, ProcessId, TeamId
from domain.kernel import Event, Recorded, UnknownEvent
from domain.price import Category, CostLine
from domain.process.events import ProcessStarted, ProcessStopped
from domain.rewind.events import LogRewound
from domain.time import EPOCH, Period

MORNING = datetime(2026, 3, 4, 9, tzinfo=UTC)
TODAY = datetime(2026, 3, 4, tzinfo=UTC)
LOCK_KEY = 77


@dataclass
class Audited:
    """Events read one after another into an auditor's books."""

    at: datetime = MORNING
    books: Books = field(default_factory=Books)
    findings: list[Finding] = field(default_factory=list)
    position: int = 0

    def then(self, stream: str, event: Event) -> "Audited":
        self.position += 1
        topic = getattr(event, "topic", "?")
        recorded = Recorded(self.position, f"main/{stream}", 1, topic, self.at, "main", "system:test", "r", None, event, b"")
        self.findings.extend(enter(self.books, recorded))
        return self

    def later(self, delay: timedelta) -> "Audited":
        self.at += delay
        return self

    @property
    def messages(self) -> list[str]:
        return [f"{position}: {message}" for position, message in self.findings]


def opened(limit: int = 100, *, period: Period = Period.DAILY, generation: int = 1, starting_spend: int = 0) -> BudgetOpened:
    return BudgetOpened(name="B", period=period, hard_limit_nanos=limit, generation=generation, starting_spend_nanos=starting_spend)


def hold(nanos: int, *, generation: int = 1, period_start: datetime = TODAY, budget: str = "b") -> Hold:
    return Hold(budget_id=BudgetId(budget), generation=generation, period_start=period_start, nanos=nanos)


def admitted(*holds: Hold) -> CompletionAdmitted:
    return CompletionAdmitted(
        owner=ProcessId("p"),
        api_key_id=ApiKeyId("k"),
        team_id=TeamId("t"),
        model_id="m",
        prompt_tokens_bound=1,
        output_cap=1,
        route=(),
        holds=holds,
    )


def outcome(spent: int, *, generation: int = 1, period_start: datetime = TODAY, budget: str = "b") -> HoldOutcome:
    return HoldOutcome(budget_id=BudgetId(budget), generation=generation, period_start=period_start, spent_nanos=spent)


def settled(*outcomes: HoldOutcome, cost: int | None = 0, lines: tuple[CostLine, ...] = (), recovered: bool = False) -> CompletionSettled:
    attempts = (Attempt(model_id=ModelId("m"), provider="local", outcome="succeeded", cost_nanos=cost, cost_lines=lines),) if lines else ()
    return CompletionSettled(
        end_reason=EndReason.COMPLETED, cost_nanos=cost, usage_source="reported", attempts=attempts, holds=outcomes, recovered=recovered
    )


def costing(nanos: int) -> tuple[CostLine, ...]:
    return (CostLine(category=Category.OUTPUT, quantity=nanos, nanos_per_million=1_000_000),)


def test_a_completion_within_its_budget_is_silent() -> None:
    audited = Audited().then("budget/b", opened(100)).then("completion/c", admitted(hold(100)))
    audited.then("completion/c", settled(outcome(40), cost=40, lines=costing(40)))
    assert audited.messages == []
    (money,) = budgets(audited.books, MORNING)
    assert (money.settled_nanos, money.held_nanos, money.free_nanos) == (40, 0, 60)


def test_an_admission_beyond_the_limit_is_found() -> None:
    audited = Audited().then("budget/b", opened(100)).then("completion/c", admitted(hold(60))).then("completion/d", admitted(hold(41)))
    assert audited.messages == ["3: main/completion/d takes main/budget/b to $0.000000101 settled and held, over its limit of $0.0000001"]


def test_a_limit_lowered_below_what_is_held_is_no_violation() -> None:
    audited = Audited().then("budget/b", opened(100)).then("completion/c", admitted(hold(60)))
    audited.then("budget/b", BudgetLimitChanged(hard_limit_nanos=10))
    assert audited.messages == []
    assert len(audited.then("completion/d", admitted(hold(1))).messages) == 1


def test_what_was_spent_before_counts() -> None:
    audited = Audited().then("budget/b", opened(100, starting_spend=90))
    assert audited.then("completion/c", admitted(hold(10))).messages == []
    assert len(audited.then("completion/d", admitted(hold(1))).messages) == 1


def test_a_new_period_begins_at_zero() -> None:
    audited = Audited().then("budget/b", opened(100)).then("completion/c", admitted(hold(100))).later(timedelta(days=1))
    audited.then("completion/d", admitted(hold(100, period_start=TODAY + timedelta(days=1))))
    assert audited.messages == []
    (money,) = budgets(audited.books, audited.at)
    assert money.held_nanos == 100


def test_a_hold_on_yesterday_is_found() -> None:
    audited = Audited().then("budget/b", opened(100)).later(timedelta(days=1)).then("completion/c", admitted(hold(1)))
    assert audited.messages == ["2: main/completion/c holds on another period or generation of main/budget/b than the one in force"]


def test_a_reset_begins_a_generation_and_settlements_go_where_the_hold_was() -> None:
    audited = Audited().then("budget/b", opened(100, period=Period.LIFETIME))
    audited.then("completion/c", admitted(hold(100, period_start=EPOCH))).then("budget/b", BudgetReset(generation=2))
    audited.then("completion/d", admitted(hold(100, generation=2, period_start=EPOCH)))
    audited.then("completion/c", settled(outcome(80, period_start=EPOCH), cost=80, lines=costing(80)))
    assert audited.messages == []
    (money,) = budgets(audited.books, MORNING)
    assert (money.settled_nanos, money.held_nanos, money.settled_ever_nanos) == (0, 100, 80)
    assert len(audited.then("completion/e", admitted(hold(1, period_start=EPOCH))).messages) == 1


def test_a_hold_on_a_budget_that_is_closed_or_was_never_opened_is_found() -> None:
    audited = Audited().then("budget/b", opened()).then("budget/b", BudgetClosed()).then("completion/c", admitted(hold(1)))
    audited.then("completion/d", admitted(hold(1, budget="x")))
    assert audited.messages == [
        "3: main/completion/c holds on main/budget/b, which does not apply to it",
        "4: main/completion/d holds on main/budget/x, which does not apply to it",
    ]


@pytest.mark.parametrize(
    ("scope", "applies"),
    [
        (Scope(), True),
        (Scope(api_key_ids=frozenset({"k"})), True),
        (Scope(team_ids=frozenset({"t"})), True),
        (Scope(api_key_ids=frozenset({"k"}), team_ids=frozenset({"other"})), True),
        (Scope(model_ids=frozenset({"m"})), True),
        (Scope(api_key_ids=frozenset({"other"})), False),
        (Scope(team_ids=frozenset({"other"})), False),
        (Scope(team_ids=frozenset({"t"}), model_ids=frozenset({"other"})), False),
    ],
)
def test_a_budget_that_applies_must_be_held_on_and_no_other(scope: Scope, applies: bool) -> None:
    audited = Audited().then("budget/b", opened()).then("budget/b", BudgetScopeChanged(scope=scope))
    audited.then("completion/c", admitted()).then("completion/d", admitted(hold(1)))
    passed_by = "3: main/completion/c holds nothing on main/budget/b, which applies to it"
    wrongly_held = "4: main/completion/d holds on main/budget/b, which does not apply to it"
    assert audited.messages == ([passed_by] if applies else [wrongly_held])


def test_a_budget_binds_while_it_is_enabled() -> None:
    audited = Audited().then("budget/b", opened()).then("budget/b", BudgetDisabled()).then("completion/c", admitted())
    assert audited.messages == []
    audited.then("budget/b", BudgetEnabled()).then("completion/d", admitted())
    assert [position for position, _ in audited.findings] == [5]


def test_settling_twice_or_without_admission_is_found() -> None:
    audited = Audited().then("completion/c", admitted()).then("completion/c", settled()).then("completion/c", settled())
    audited.then("completion/d", settled()).then("completion/c", admitted())
    assert audited.messages == [
        "3: main/completion/c is settled a second time",
        "4: main/completion/d is settled without an admission",
        "5: main/completion/c is admitted a second time",
    ]


def test_settling_on_other_budgets_than_were_held_is_found() -> None:
    audited = Audited().then("budget/b", opened()).then("completion/c", admitted(hold(1))).then("completion/c", settled())
    assert audited.messages == ["3: main/completion/c is settled on other budgets than it held on"]


def test_a_cost_that_is_not_the_sum_of_its_lines_is_found() -> None:
    audited = Audited().then("completion/c", admitted()).then("completion/c", settled(cost=41, lines=costing(40)))
    assert audited.messages == ["2: the cost of main/completion/c is recorded as $0.000000041, and its lines come to $0.00000004"]


def test_lines_are_summed_before_they_are_rounded() -> None:
    half = CostLine(category=Category.INPUT, quantity=1, nanos_per_million=500_000)
    audited = Audited().then("completion/c", admitted()).then("completion/c", settled(cost=1, lines=(half, half)))
    audited.then("completion/d", admitted()).then("completion/d", settled(cost=1, lines=(half,)))
    assert audited.messages == []


def test_what_recovery_charges_needs_no_lines() -> None:
    audited = Audited().then("budget/b", opened()).then("completion/c", admitted(hold(9)))
    audited.then("completion/c", settled(outcome(9), cost=9, recovered=True))
    assert (audited.messages, audited.books.recovered) == ([], 1)


def test_a_raised_hold_is_released_whole() -> None:
    audited = Audited().then("budget/b", opened(100)).then("completion/c", admitted(hold(60)))
    audited.then("completion/c", CompletionHoldRaised(holds=(hold(30),)))
    (money,) = budgets(audited.books, MORNING)
    assert money.held_nanos == 90
    audited.then("completion/c", settled(outcome(0)))
    (money,) = budgets(audited.books, MORNING)
    assert (audited.messages, money.held_nanos) == ([], 0)


def test_a_correction_moves_the_budget_and_is_counted() -> None:
    audited = Audited().then("budget/b", opened(100)).then("completion/c", admitted(hold(60)))
    audited.then("completion/c", settled(outcome(60), cost=60, recovered=True))
    moved = HoldCorrection(budget_id=BudgetId("b"), generation=1, period_start=TODAY, spent_nanos=20, moved_nanos=-40)
    corrected = CompletionCorrected(
        end_reason=EndReason.COMPLETED,
        cost_nanos=20,
        usage_source="reported",
        attempts=settled(cost=20, lines=costing(20)).attempts,
        holds=(moved,),
    )
    audited.then("completion/c", corrected)
    (money,) = budgets(audited.books, MORNING)
    assert (audited.messages, money.settled_nanos, audited.books.corrected) == ([], 20, 1)


def test_a_readmission_is_exempt_from_limits_and_listed() -> None:
    audited = Audited().then("budget/b", opened(10)).then("rewind/9-ab", LogRewound(lost_position=9, lost_hash="ab"))
    audited.then("completion/c", CompletionReadmitted(lost_position=9, admitted=admitted(hold(60))))
    assert (audited.messages, audited.books.readmitted, audited.books.rewinds) == ([], [3], [2])


def test_an_open_completion_needs_a_living_owner() -> None:
    audited = Audited().then("process/p", ProcessStarted(lock_key=LOCK_KEY, version="1")).then("completion/c", admitted())
    assert list(abandoned(audited.books, frozenset({LOCK_KEY}), until_position=2)) == []
    assert list(abandoned(audited.books, frozenset(), until_position=1)) == []
    (dead,) = abandoned(audited.books, frozenset(), until_position=2)
    assert dead == (2, "main/completion/c is open and its process p is not alive; it awaits recovery")
    audited.then("process/p", ProcessStopped())
    (stopped,) = abandoned(audited.books, frozenset({LOCK_KEY}), until_position=2)
    assert "has stopped" in stopped.message


def test_an_event_that_can_not_be_read_is_reported_and_the_rest_goes_on() -> None:
    audited = Audited().then("team/t", UnknownEvent(unknown_topic="team.frozen.v9")).then("completion/c", admitted())
    assert audited.messages == ["1: the event team.frozen.v9 of main/team/t can't be read, so what it changed is not verified"]
    assert len(audited.books.open) == 1


def test_other_organisations_are_other_books() -> None:
    audited = Audited().then("budget/b", opened(10))
    audited.findings.extend(
        enter(audited.books, Recorded(2, "other/completion/c", 1, "t", MORNING, "other", "s", "r", None, admitted(hold(1)), b""))
    )
    assert audited.messages == ["2: other/completion/c holds on other/budget/b, which does not apply to it"]
