"""The ledger's money: per budget what is settled and held, per generation and period, folded from completions.

A hold and its settlement name the account that they belong to: (budget, generation, period start). Only the current one, and those in
which something is still held, are kept in memory.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from domain.budget.budget import BUDGETS, Budget
from domain.completion.events import Hold, HoldCorrection, HoldOutcome
from domain.errors import NotFound
from domain.state import Kind, View
from domain.time import period_end, period_start

NEVER: Final = datetime.max.replace(tzinfo=UTC)


class Spent(NamedTuple):
    """What came together in one period of one generation."""

    generation: int
    period_start: datetime
    settled_nanos: int
    held_nanos: int


class Account(NamedTuple):
    """A budget's money: the current period, as of the last event that moved it, and those before it that still hold something."""

    generation: int
    period_start: datetime
    period_end: datetime
    settled_nanos: int
    held_nanos: int
    earlier: tuple[Spent, ...] = ()


ACCOUNTS: Final = Kind[str, Account]("account")


class Balance(NamedTuple):
    """Where a budget stands."""

    generation: int
    period_start: datetime
    period_end: datetime | None
    """None: the period never ends."""
    settled_nanos: int
    held_nanos: int
    limit_nanos: int

    @property
    def free_nanos(self) -> int:
        return max(0, self.limit_nanos - self.settled_nanos - self.held_nanos)

    def fits(self, nanos: int) -> bool:
        """Whether so much more may be held: the promise that no admission breaks."""
        return self.settled_nanos + self.held_nanos + nanos <= self.limit_nanos


def balance(view: View, budget_id: str, now: datetime) -> Balance:
    """Where a budget stands in the period around `now`. Raises NotFound."""
    budget = view.get(BUDGETS, budget_id)
    if budget is None:
        raise NotFound(f"There is no budget {budget_id}")
    account = view.get(ACCOUNTS, budget_id)
    if account is None or account.generation != budget.generation or not account.period_start <= now < account.period_end:
        account = _turned(account, budget, now)
    ends = None if account.period_end == NEVER else account.period_end
    return Balance(account.generation, account.period_start, ends, account.settled_nanos, account.held_nanos, budget.hard_limit_nanos)


def balance_of_hold(view: View, hold: Hold) -> Balance | None:
    """Where the account of an open completion's hold stands; None where its budget isn't known."""
    budget, account = view.get(BUDGETS, hold.budget_id), view.get(ACCOUNTS, hold.budget_id)
    for each in () if budget is None or account is None else _periods(account):
        if budget is not None and _same(each, hold):
            return Balance(each.generation, each.period_start, None, each.settled_nanos, each.held_nanos, budget.hard_limit_nanos)
    return None


def open_account(view: View, budget_id: str, starting_spend_nanos: int, at: datetime) -> None:
    """A budget was opened, or opened again: what was spent before counts in its first period."""
    budget = view.get(BUDGETS, budget_id)
    if budget is not None:
        account = _turned(view.get(ACCOUNTS, budget_id), budget, at)
        view.put(ACCOUNTS, budget_id, account._replace(settled_nanos=account.settled_nanos + starting_spend_nanos))


def place(view: View, holds: tuple[Hold, ...], at: datetime) -> None:
    for hold in holds:
        _move(view, hold, at, settled_nanos=0, held_nanos=hold.nanos)


def settle(view: View, holds: tuple[Hold, ...], outcomes: tuple[HoldOutcome, ...], at: datetime) -> None:
    """What was held is free again, and what was spent is settled, each where it belongs."""
    for hold in holds:
        spent = sum([outcome.spent_nanos for outcome in outcomes if outcome.budget_id == hold.budget_id and _same(outcome, hold)])
        _move(view, hold, at, settled_nanos=spent, held_nanos=-hold.nanos)


def correct(view: View, corrections: tuple[HoldCorrection, ...], at: datetime) -> None:
    for correction in corrections:
        _move(view, correction, at, settled_nanos=correction.moved_nanos, held_nanos=0)


def _move(view: View, there: Hold | HoldOutcome, at: datetime, *, settled_nanos: int, held_nanos: int) -> None:
    account = view.get(ACCOUNTS, there.budget_id)
    if account is None or not _same(account, there):
        account = _turned_for(view, account, there, at)
    if _same(account, there):
        generation, start, end, settled, held, earlier = account
        account = Account(generation, start, end, settled + settled_nanos, held + held_nanos, earlier)
    else:
        account = account._replace(earlier=tuple(_moved(account.earlier, there, settled_nanos, held_nanos)))
    view.put(ACCOUNTS, there.budget_id, account)


def _same(one: Account | Spent | Hold | HoldOutcome, other: Spent | Hold | HoldOutcome) -> bool:
    """The same period of the same generation, of one budget."""
    return one.generation == other.generation and one.period_start == other.period_start


def _turned_for(view: View, account: Account | None, there: Hold | HoldOutcome, at: datetime) -> Account:
    budget = view.get(BUDGETS, there.budget_id)
    if budget is not None:
        return _turned(account, budget, at)
    return account or Account(there.generation, there.period_start, NEVER, 0, 0)


def _turned(account: Account | None, budget: Budget, at: datetime) -> Account:
    """The account with the generation and period around `at` as the current one."""
    start = period_start(budget.period, budget.time_zone, at)
    if account is not None and account.generation == budget.generation and account.period_start == start:
        return account
    current, earlier = Spent(budget.generation, start, 0, 0), []
    for each in () if account is None else _periods(account):
        if _same(each, current):
            current = each
        elif each.held_nanos:
            earlier.append(each)
    end = period_end(budget.period, budget.time_zone, start) or NEVER
    return Account(budget.generation, start, end, current.settled_nanos, current.held_nanos, tuple(earlier))


def _periods(account: Account) -> tuple[Spent, ...]:
    return (*account.earlier, Spent(account.generation, account.period_start, account.settled_nanos, account.held_nanos))


def _moved(earlier: tuple[Spent, ...], there: Hold | HoldOutcome, settled_nanos: int, held_nanos: int) -> Iterator[Spent]:
    """A period that is over is kept while it holds something. Elsewhere nothing can be asked for, so nothing needs to be known."""
    found = False
    for each in earlier:
        if _same(each, there):
            found = True
            each = each._replace(settled_nanos=each.settled_nanos + settled_nanos, held_nanos=each.held_nanos + held_nanos)
        if each.held_nanos:
            yield each
    if not found and held_nanos > 0:
        yield Spent(there.generation, there.period_start, settled_nanos, held_nanos)
