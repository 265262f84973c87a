"""Real completions for the writer's tests: one model, one key, and a budget that is hot."""

from adapters.log.postgres_log import PostgresLog
from application.ports import Committed
from domain.budget.commands import OpenBudget
from domain.budget.events import AtLimit
from domain.completion.commands import AdmitCompletion, SettleCompletion
from domain.ids import BudgetId
from tests.performance import furnishing

HOT = BudgetId("hot")
HOLD_NANOS = 1_000 * 150 + 256 * 600
SPENT_NANOS = 200 * 150 + 24 * 600


async def furnish(log: PostgresLog, limit_holds: int = 1_000_000) -> None:
    """The hot budget has room for so many holds."""
    for command in furnishing.commands():
        await log.submit(command, by="system:test", correlation_id="furnish")
    budget = OpenBudget(budget_id=HOT, name="Hot", period="lifetime", hard_limit_nanos=limit_holds * HOLD_NANOS, at_limit=AtLimit.REJECT)
    await log.submit(budget, by="system:test", correlation_id="furnish")


def admission() -> AdmitCompletion:
    return furnishing.admission()


def settlement(admitted: AdmitCompletion) -> SettleCompletion:
    return furnishing.settlement(admitted)


async def admit(log: PostgresLog, command: AdmitCompletion) -> Committed:
    return await log.submit(command, by="key:bench", correlation_id=f"admit-{command.completion_id}")


async def settle(log: PostgresLog, admitted: AdmitCompletion) -> Committed:
    return await log.submit(settlement(admitted), by="key:bench", correlation_id=f"settle-{admitted.completion_id}")
