"""Several processes on one hot budget: exact to the last hold, with nothing lost and nothing tried twice."""

import asyncio
import json

import pytest

from adapters.log.postgres_log import PostgresLog
from domain.completion.completion import OPEN_COMPLETIONS
from tests.log.completions import HOLD_NANOS, HOT, SPENT_NANOS, furnish
from tests.log.database import sound
from tests.log.processes import children

LIMIT_HOLDS = 120


@pytest.mark.parametrize("processes", [2, 4])
async def test_processes_that_share_a_hot_budget_spend_it_exactly(log: PostgresLog, database_url: str, processes: int) -> None:
    await furnish(log, LIMIT_HOLDS)
    with children(*[("spend", database_url)] * processes) as spending:

        async def each(beginning: str, *, go_on: bool) -> list[int]:
            said = [int(await asyncio.to_thread(child.wait_for, beginning)) for child in spending]
            for child in spending if go_on else ():
                child.go_on()
            return said

        first = await each("admitted", go_on=True)
        assert sum(first) == LIMIT_HOLDS
        assert await each("settled", go_on=True) == first
        second = await each("admitted", go_on=False)
        left_nanos = LIMIT_HOLDS * HOLD_NANOS - LIMIT_HOLDS * SPENT_NANOS
        assert sum(second) == left_nanos // HOLD_NANOS
        assert await each("trouble", go_on=False) == [0] * processes

    check_the_promise(database_url)
    await log.catch_up()
    assert len(list(log.view.items(OPEN_COMPLETIONS))) == sum(second)
    assert log.ready() is None


def check_the_promise(url: str) -> None:
    """After every event, what is settled and held is within the limit; and every admission is settled at most once."""
    held: dict[str, int] = {}
    settled_nanos = 0
    for row in sound(url):
        event, stream = json.loads(row.state), row.stream
        if row.topic == "completion.admitted.v1":
            assert stream not in held
            held[stream] = sum(hold["nanos"] for hold in event["holds"] if hold["budget_id"] == HOT)
            assert held[stream] == HOLD_NANOS
        if row.topic == "completion.settled.v1":
            held.pop(stream)
            settled_nanos += sum(hold["spent_nanos"] for hold in event["holds"] if hold["budget_id"] == HOT)
        assert settled_nanos + sum(held.values()) <= LIMIT_HOLDS * HOLD_NANOS
