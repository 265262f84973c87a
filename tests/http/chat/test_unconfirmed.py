"""When nobody can say whether an admission was recorded, nothing is sent; in the end it is settled at zero, or was never there."""

import asyncio
from typing import Any

import pytest

from domain.completion.commands import AdmitCompletion
from domain.errors import Unavailable, Unconfirmed
from tests.http.chat.conftest import Desk


@pytest.fixture(params=[True, False], ids=["recorded", "not recorded"])
def recorded(request: pytest.FixtureRequest, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> bool:
    """What became of the admission, unknown to the one who asked; then the log is away for a moment."""
    submit, away = desk.gateway.log.submit, iter([True, True])

    async def uncertain(command: Any, **envelope: Any) -> Any:
        if not isinstance(command, AdmitCompletion):
            if next(away, False):
                raise Unavailable
            return await submit(command, **envelope)
        if request.param:
            await submit(command, **envelope)
        raise Unconfirmed

    monkeypatch.setattr(desk.gateway.log, "submit", uncertain)
    return bool(request.param)


async def test_an_admission_in_doubt_is_not_sent_and_holds_nothing_in_the_end(desk: Desk, recorded: bool) -> None:
    answer = await desk.ask()
    assert (answer.status, answer.error["type"]) == (503, "service_unavailable_error")
    runs = desk.world.runs
    async with asyncio.timeout(5):
        while runs.tasks:
            await asyncio.wait(runs.tasks)
    assert (runs.settling, runs.under_way, desk.provider.received) == (0, {}, [])
    admitted = await desk.admissions()
    assert len(admitted) == recorded
    for completion_id in admitted:
        settled = await desk.settled(completion_id)
        assert (settled["end_reason"], settled["cost_nanos"], settled.get("attempts", [])) == ("not_sent", 0, [])
