"""Reading what one has written, and being told when that isn't possible."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from adapters.projecting.projector import Projector
from adapters.read_models import FRESH_WAIT_S
from domain.ids import TeamId
from domain.team.commands import CreateTeam
from projections import READ_MODELS
from tests.http.conftest import Gateway, served, world_on


@pytest.fixture
async def unfed(database_url: str) -> AsyncIterator[Gateway]:
    """A gateway whose read models nobody feeds."""
    async with world_on(database_url) as world, served(world, database_url) as gateway:
        yield gateway


async def test_every_answer_shows_what_was_written_before_it(gateway: Gateway) -> None:
    waits = []
    for number in range(20):
        await gateway.log.submit(CreateTeam(team_id=TeamId(f"fresh-{number}"), name="F"), by="system:test", correlation_id="fresh")
        began = time.monotonic()
        answer = await gateway.ask("GET", f"/admin/teams/fresh-{number}")
        waits.append(time.monotonic() - began)
        assert (answer.status, "x-gateway-stale" in answer.headers) == (200, False)
    assert sorted(waits)[10] < 0.2


async def test_without_a_projector_answers_come_all_the_same_and_say_how_far_they_are_behind(unfed: Gateway, database_url: str) -> None:
    began = time.monotonic()
    answer = await unfed.ask("GET", "/admin/teams")
    assert (answer.status, answer.json["total"]) == (200, 0)
    assert answer.headers["x-gateway-stale"] == str(unfed.log.position) == "3"
    assert FRESH_WAIT_S <= time.monotonic() - began < FRESH_WAIT_S + 2
    projector = Projector(database_url, READ_MODELS)
    projector.start()
    try:
        async with asyncio.timeout(10):
            while "x-gateway-stale" in (answer := await unfed.ask("GET", "/admin/teams")).headers:
                pass
        assert answer.json["total"] == 1
    finally:
        await asyncio.to_thread(projector.stop)
    assert (await unfed.ask("GET", "/admin/teams")).json["total"] == 1
