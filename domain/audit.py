"""An auditor's books: the money of a log counted again, by other code than the ledger that admitted it, and all that does not add up.

Deliberately simple and deliberately not shared: what admission got wrong must not be wrong here in the same way. Like every fold it is
total: it reports, and never raises.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

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
    CompletionAdmitted,
    CompletionCorrected,
    CompletionHoldRaised,
    CompletionReadmitted,
    CompletionSettled,
    Hold,
    HoldOutcome,
)
from domain.kernel import Recorded, UnknownEvent
from domain.money import usd_text
from domain.price import TOKENS_PER_RATE
from domain.process.events import ProcessStarted, ProcessStopped
from domain.rewind.events import LogRewound
from domain.time import Period, period_start


class Finding(NamedTuple):
    """Something that does not add up, and where in the log."""

    position: int
    message: str


class AccountKey(NamedTuple):
    """Where money is held and spent: one period of one generation of one budget, named by the budget's stream."""

    budget: str
    generation: int
    period_start: datetime


@dataclass(slots=True)
class Account:
    settled_nanos: int = 0
    held_nanos: int = 0


@dataclass(slots=True)
class Terms:
    """A budget's rules in force."""

    hard_limit_nanos: int
    period: Period
    time_zone: str
    generation: int
    scope: Scope
    enabled: bool = True
    closed: bool = False


@dataclass(slots=True)
class OpenCompletion:
    position: int
    owner: str
    holds: tuple[Hold, ...]


@dataclass(slots=True)
class OwnerProcess:
    lock_key: int
    stopped: bool = False


@dataclass(slots=True)
class Books:
    """What an auditor knows after reading so far. Budgets, completions and processes go by their streams."""

    terms: dict[str, Terms] = field(default_factory=dict)
    binding: dict[str, set[str]] = field(default_factory=dict)
    """From everyone, a key or a team to the budgets in force that bind them."""
    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    open: dict[str, OpenCompletion] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    owners: dict[str, OwnerProcess] = field(default_factory=dict)
    admitted: int = 0
    settled: int = 0
    recovered: int = 0
    corrected: int = 0
    readmitted: list[int] = field(default_factory=list)
    """The positions of those that were exempt from limits, since the log had lost their admission."""
    rewinds: list[int] = field(default_factory=list)
    settled_nanos: int = 0
    cost_unknown: int = 0


class BudgetMoney(NamedTuple):
    """What one budget came to, in all generations and periods, and where it stands now."""

    budget: str
    hard_limit_nanos: int
    settled_ever_nanos: int
    settled_nanos: int
    held_nanos: int
    closed: bool

    @property
    def free_nanos(self) -> int:
        return max(0, self.hard_limit_nanos - self.settled_nanos - self.held_nanos)


def enter(books: Books, recorded: Recorded[Any]) -> Iterator[Finding]:
    """Read one event, in the log's order."""
    match recorded.event:
        case CompletionAdmitted() as admitted:
            yield from _admit(books, recorded, admitted)
        case CompletionSettled() as settled:
            yield from _settle(books, recorded, settled)
        case CompletionHoldRaised(holds=holds):
            yield from _raise_hold(books, recorded, holds)
        case CompletionCorrected() as corrected:
            yield from _correct(books, recorded, corrected)
        case CompletionReadmitted(admitted=admitted):
            books.readmitted.append(recorded.position)
            yield from _open(books, recorded, admitted)
        case BudgetOpened() as opened:
            _open_budget(books, recorded, opened)
        case BudgetLimitChanged(hard_limit_nanos=limit):
            yield from _change_terms(books, recorded, hard_limit_nanos=limit)
        case BudgetScopeChanged(scope=scope):
            yield from _change_terms(books, recorded, scope=scope)
        case BudgetReset(generation=generation):
            yield from _change_terms(books, recorded, generation=generation)
        case BudgetEnabled() | BudgetDisabled():
            yield from _change_terms(books, recorded, enabled=isinstance(recorded.event, BudgetEnabled))
        case BudgetClosed():
            yield from _change_terms(books, recorded, closed=True)
        case ProcessStarted(lock_key=lock_key):
            books.owners[recorded.stream] = OwnerProcess(lock_key)
        case ProcessStopped():
            yield from _stop_process(books, recorded)
        case LogRewound():
            books.rewinds.append(recorded.position)
        case UnknownEvent(unknown_topic=topic):
            yield Finding(recorded.position, f"the event {topic} of {recorded.stream} can't be read, so what it changed is not verified")


def abandoned(books: Books, held_locks: frozenset[int], *, until_position: int) -> Iterator[Finding]:
    """Open completions whose process does not hold the lock that its start names: nobody is going to settle them but recovery.

    Those admitted after `until_position` are not judged: their process may have started after the locks were looked at.
    """
    for stream, completion in books.open.items():
        if completion.position > until_position:
            continue
        owner = books.owners.get(_beside(stream, "process", completion.owner))
        if owner is None:
            yield Finding(completion.position, f"{stream} is open and its process {completion.owner} is not in the log")
        elif owner.stopped or owner.lock_key not in held_locks:
            state = "has stopped" if owner.stopped else "is not alive"
            yield Finding(completion.position, f"{stream} is open and its process {completion.owner} {state}; it awaits recovery")


def budgets(books: Books, at: datetime) -> list[BudgetMoney]:
    """What each budget came to, and where it stands at a moment."""
    ever: dict[str, int] = {}
    for key, account in books.accounts.items():
        ever[key.budget] = ever.get(key.budget, 0) + account.settled_nanos
    return [_money(books, budget, terms, ever.get(budget, 0), at) for budget, terms in books.terms.items()]


def _money(books: Books, budget: str, terms: Terms, ever: int, at: datetime) -> BudgetMoney:
    now = books.accounts.get(_current(budget, terms, at), Account())
    return BudgetMoney(budget, terms.hard_limit_nanos, ever, now.settled_nanos, now.held_nanos, terms.closed)


# Completions


def _admit(books: Books, recorded: Recorded[Any], admitted: CompletionAdmitted) -> Iterator[Finding]:
    yield from _open(books, recorded, admitted)
    yield from _holds_where_due(books, recorded, admitted)
    for hold in admitted.holds:
        yield from _within_limit(books, recorded, hold)


def _holds_where_due(books: Books, recorded: Recorded[Any], admitted: CompletionAdmitted) -> Iterator[Finding]:
    """An admission that passed a budget by would exceed its limit unseen."""
    held = {_beside(recorded.stream, "budget", hold.budget_id) for hold in admitted.holds}
    due = set(_applying(books, recorded.stream, admitted))
    for budget in sorted(due - held):
        yield Finding(recorded.position, f"{recorded.stream} holds nothing on {budget}, which applies to it")
    for budget in sorted(held - due):
        yield Finding(recorded.position, f"{recorded.stream} holds on {budget}, which does not apply to it")


def _applying(books: Books, stream: str, admitted: CompletionAdmitted) -> Iterator[str]:
    models = {admitted.model_id, *(step.model_id for step in admitted.route)}
    for bound in ("everyone", f"key {admitted.api_key_id}", f"team {admitted.team_id}"):
        for budget in books.binding.get(_beside(stream, "", bound), ()):
            narrowed_to = books.terms[budget].scope.model_ids
            if not narrowed_to or narrowed_to & models:
                yield budget


def _open(books: Books, recorded: Recorded[Any], admitted: CompletionAdmitted) -> Iterator[Finding]:
    if recorded.stream in books.open or recorded.stream in books.ended:
        yield Finding(recorded.position, f"{recorded.stream} is admitted a second time")
        return
    books.admitted += 1
    books.open[recorded.stream] = OpenCompletion(recorded.position, admitted.owner, admitted.holds)
    _hold(books, recorded, admitted.holds, sign=1)


def _within_limit(books: Books, recorded: Recorded[Any], hold: Hold) -> Iterator[Finding]:
    """The promise: no admission makes settled + held exceed the limit then in force. A hold elsewhere than now would evade it."""
    budget = _beside(recorded.stream, "budget", hold.budget_id)
    terms = books.terms.get(budget)
    if terms is None:
        return
    key = _account_key(recorded.stream, hold)
    if key != _current(budget, terms, recorded.at):
        yield Finding(recorded.position, f"{recorded.stream} holds on another period or generation of {budget} than the one in force")
        return
    account = books.accounts[key]
    total = account.settled_nanos + account.held_nanos
    if total > terms.hard_limit_nanos:
        taken, limit = usd_text(total), usd_text(terms.hard_limit_nanos)
        yield Finding(recorded.position, f"{recorded.stream} takes {budget} to ${taken} settled and held, over its limit of ${limit}")


def _raise_hold(books: Books, recorded: Recorded[Any], holds: tuple[Hold, ...]) -> Iterator[Finding]:
    completion = books.open.get(recorded.stream)
    if completion is None:
        yield Finding(recorded.position, f"{recorded.stream} raises its hold and is not open")
        return
    completion.holds += holds
    _hold(books, recorded, holds, sign=1)


def _settle(books: Books, recorded: Recorded[Any], settled: CompletionSettled) -> Iterator[Finding]:
    completion = books.open.pop(recorded.stream, None)
    if completion is None:
        again = "a second time" if recorded.stream in books.ended else "without an admission"
        yield Finding(recorded.position, f"{recorded.stream} is settled {again}")
        return
    books.ended.add(recorded.stream)
    books.settled += 1
    books.recovered += settled.recovered
    books.settled_nanos += settled.cost_nanos or 0
    books.cost_unknown += settled.cost_nanos is None
    _hold(books, recorded, completion.holds, sign=-1)
    _spend(books, recorded.stream, settled.holds, [outcome.spent_nanos for outcome in settled.holds])
    yield from _same_holds(recorded, completion.holds, settled.holds)
    yield from _adds_up(recorded, settled)


def _correct(books: Books, recorded: Recorded[Any], corrected: CompletionCorrected) -> Iterator[Finding]:
    if recorded.stream not in books.ended:
        yield Finding(recorded.position, f"{recorded.stream} is corrected and was not settled")
    books.corrected += 1
    _spend(books, recorded.stream, corrected.holds, [outcome.moved_nanos for outcome in corrected.holds])
    yield from _adds_up(recorded, corrected)


def _same_holds(recorded: Recorded[Any], held: tuple[Hold, ...], became: tuple[HoldOutcome, ...]) -> Iterator[Finding]:
    """Each hold became something, once, and nothing became of what was not held."""
    expected = sorted({_account_key(recorded.stream, hold) for hold in held})
    if expected != sorted(_account_key(recorded.stream, outcome) for outcome in became):
        yield Finding(recorded.position, f"{recorded.stream} is settled on other budgets than it held on")


def _adds_up(recorded: Recorded[Any], ended: CompletionSettled | CompletionCorrected) -> Iterator[Finding]:
    """The cost is the exact sum of all lines, rounded half up once. What recovery charges has no lines: nobody knows the usage."""
    lines = [line for attempt in ended.attempts for line in attempt.cost_lines]
    without_lines = not lines and isinstance(ended, CompletionSettled) and ended.recovered
    if ended.cost_nanos is None or without_lines:
        return
    exact = sum(line.quantity * line.nanos_per_million for line in lines)
    cost = (2 * exact + TOKENS_PER_RATE) // (2 * TOKENS_PER_RATE)
    if cost != ended.cost_nanos:
        told, sums = usd_text(ended.cost_nanos), usd_text(cost)
        yield Finding(recorded.position, f"the cost of {recorded.stream} is recorded as ${told}, and its lines come to ${sums}")


def _hold(books: Books, recorded: Recorded[Any], holds: tuple[Hold, ...], *, sign: int) -> None:
    for hold in holds:
        _account(books, _account_key(recorded.stream, hold)).held_nanos += sign * hold.nanos


def _spend(books: Books, stream: str, outcomes: tuple[HoldOutcome, ...], amounts: list[int]) -> None:
    for outcome, nanos in zip(outcomes, amounts, strict=True):
        _account(books, _account_key(stream, outcome)).settled_nanos += nanos


# Budgets and processes


def _open_budget(books: Books, recorded: Recorded[Any], opened: BudgetOpened) -> None:
    terms = Terms(opened.hard_limit_nanos, opened.period, opened.time_zone, opened.generation, opened.scope)
    books.terms[recorded.stream] = terms
    _bind(books, recorded.stream, terms)
    _account(books, _current(recorded.stream, terms, recorded.at)).settled_nanos += opened.starting_spend_nanos


def _change_terms(books: Books, recorded: Recorded[Any], **changes: int | bool | Scope) -> Iterator[Finding]:
    terms = books.terms.get(recorded.stream)
    if terms is None:
        yield Finding(recorded.position, f"{recorded.stream} is changed and was not opened")
        return
    _unbind(books, recorded.stream, terms)
    for name, value in changes.items():
        setattr(terms, name, value)
    _bind(books, recorded.stream, terms)


def _bind(books: Books, budget: str, terms: Terms) -> None:
    if terms.enabled and not terms.closed:
        for bound in _bound(budget, terms.scope):
            books.binding.setdefault(bound, set()).add(budget)


def _unbind(books: Books, budget: str, terms: Terms) -> None:
    for bound in _bound(budget, terms.scope):
        books.binding.get(bound, set()).discard(budget)


def _bound(budget: str, scope: Scope) -> list[str]:
    named = [*(f"key {key}" for key in scope.api_key_ids), *(f"team {team}" for team in scope.team_ids)]
    return [_beside(budget, "", bound) for bound in named or ["everyone"]]


def _stop_process(books: Books, recorded: Recorded[Any]) -> Iterator[Finding]:
    owner = books.owners.get(recorded.stream)
    if owner is None:
        yield Finding(recorded.position, f"{recorded.stream} stopped and had not started")
        return
    owner.stopped = True


def _account(books: Books, key: AccountKey) -> Account:
    return books.accounts.setdefault(key, Account())


def _account_key(stream: str, at: Hold | HoldOutcome) -> AccountKey:
    return AccountKey(_beside(stream, "budget", at.budget_id), at.generation, at.period_start)


def _current(budget: str, terms: Terms, at: datetime) -> AccountKey:
    return AccountKey(budget, terms.generation, period_start(terms.period, terms.time_zone, at.astimezone(UTC)))


def _beside(stream: str, category: str, identity: str) -> str:
    """The name of another stream in the same organisation."""
    return f"{stream.split('/', 1)[0]}/{category}/{identity}"
