"""Processes die, stand still or lose their database in the middle of streams: everything is settled once, and no budget is wrong."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.embedded import RunningValkey
from tests.journeys.gateways import (
    CHAT,
    COST_NANOS,
    DEAD_AFTER_S,
    INPUT_NANOS,
    OUTPUT_NANOS,
    RECOVERED_OUTPUT_TOKENS,
    UNENDING,
    Gateway,
    Scene,
    emptied,
    endings,
    halved,
    owners,
    recounted,
    recovered,
    scene,
    silence,
    state,
)
from tests.log.database import Stored
from tests.log.server import Server, own_server
from tests.scripted_provider import scripted_provider

DONE = "data: [DONE]\n\n"

short_and_whole = pytest.mark.parametrize("streams", [12, pytest.param(50, marks=pytest.mark.journey)])
"""Streams of each process that is hit."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


@pytest.fixture
async def stage(server: Server, valkey: RunningValkey, tmp_path: Path) -> AsyncIterator[Scene]:
    """With an empty log."""
    await asyncio.to_thread(emptied, server.url)
    async with scripted_provider() as provider, scene(server, provider, valkey, tmp_path / "home") as staged:
        yield staged


@short_and_whole
async def test_a_killed_process_is_recovered_and_a_living_one_is_left_alone(stage: Scene, streams: int) -> None:
    dying, living = await stage.start(2)
    await stage.furnish(living)
    stage.provider.script = UNENDING
    cut_off = dying.streams(streams)
    await stage.under_way(streams)
    may_end = asyncio.Event()
    stage.provider.script = halved(may_end)
    going_on = living.streams(3)
    await stage.under_way(streams + 3)

    await dying.kill_worker()
    assert not any(DONE in came for came in await asyncio.gather(*cut_off))
    await stage.until_settled(streams)
    may_end.set()
    assert all(came.endswith(DONE) for came in await asyncio.gather(*going_on))
    await stage.until_settled(streams + 3)

    rows = stage.rows()
    assert set(endings(rows).values()) == {1}
    assert len(endings(rows)) == streams + 3
    bounds = {state(row)["prompt_tokens_bound"] for row in rows if row.topic == "completion.admitted.v1"}
    charged = bounds.pop() * INPUT_NANOS + RECOVERED_OUTPUT_TOKENS * OUTPUT_NANOS
    assert [event["cost_nanos"] for event in recovered(rows)] == [charged] * streams
    assert recounted(rows) == (streams * charged + 3 * COST_NANOS, 0)
    await stage.until_it_says(living, streams * charged + 3 * COST_NANOS)
    the_log_says_who_died_and_what_was_recovered(rows, streams)
    report = stage.verified()
    assert (report.books.recovered, len(report.books.open)) == (streams, 0)


def the_log_says_who_died_and_what_was_recovered(rows: list[Stored], streams: int) -> None:
    (death,) = [row for row in rows if row.topic == "process.found_dead.v1"]
    dead = death.stream.rpartition("/")[2]
    assert (state(death)["open_completions"], death.by) == (streams, "system:recovery")
    admitted = {row.stream: row for row in rows if row.topic == "completion.admitted.v1"}
    settlements = [row for row in rows if row.topic == "completion.settled.v1" and state(row).get("recovered")]
    assert {row.stream for row in settlements} == {stream for stream, owner in owners(rows).items() if owner == dead}
    for row in settlements:
        admission = str(admitted[row.stream].position)
        assert (row.by, row.correlation_id, row.causation_id) == ("system:recovery", dead, admission)


@pytest.mark.journey
async def test_a_restarted_gateway_recovers_what_its_former_self_left(stage: Scene) -> None:
    (dying,) = await stage.start()
    await stage.furnish(dying)
    stage.provider.script = UNENDING
    cut_off = dying.streams(50)
    await stage.under_way(50)
    await dying.kill_all()
    await asyncio.gather(*cut_off)
    (again,) = await stage.start()
    await stage.until_settled(50)
    rows = stage.rows()
    assert (len(recovered(rows)), set(endings(rows).values())) == (50, {1})
    settled, held = recounted(rows)
    assert held == 0
    await stage.until_it_says(again, settled)
    stage.verified()


@pytest.mark.journey
@pytest.mark.parametrize("noticed_by", ["an administrator", "the server"])
async def test_a_process_that_stood_still_corrects_what_recovery_charged(stage: Scene, noticed_by: str) -> None:
    standing, other = await stage.start(2)
    await stage.furnish(other)
    may_end = asyncio.Event()
    stage.provider.script = halved(may_end)
    streams = standing.streams(8)
    await stage.under_way(8)
    standing.signal(signal.SIGSTOP)
    try:
        if noticed_by == "an administrator":
            (owner,) = set(owners(stage.rows()).values())
            await asyncio.to_thread(silence, stage.server.url, owner)
        await stage.until_settled(8)
        charged, held = await stage.settled_and_held(other)
        assert (charged > 8 * COST_NANOS, held) == (True, 0)
        may_end.set()
    finally:
        standing.signal(signal.SIGCONT)
    assert all(came.endswith(DONE) for came in await asyncio.gather(*streams))
    await stage.until_recorded(lambda rows: len(corrections(rows)) == 8)

    rows = stage.rows()
    assert (len(recovered(rows)), set(endings(rows).values())) == (8, {1})
    assert {(event["end_reason"], event["cost_nanos"]) for event in corrections(rows)} == {("completed", COST_NANOS)}
    assert recounted(rows) == (8 * COST_NANOS, 0)
    for gateway in (standing, other):
        await stage.until_it_says(gateway, 8 * COST_NANOS)
    await it_is_alive_under_the_same_name(stage, standing)
    assert stage.verified().books.corrected == 8


async def it_is_alive_under_the_same_name(stage: Scene, gateway: Gateway) -> None:
    """What it admits now is its own to settle, however long that takes."""
    may_end = asyncio.Event()
    stage.provider.script = halved(may_end)
    stream = gateway.streams(1)
    await stage.under_way(9)
    await asyncio.sleep(DEAD_AFTER_S + 3)
    may_end.set()
    await asyncio.gather(*stream)
    await stage.until_settled(9)
    rows = stage.rows()
    assert len(recovered(rows)) == 8
    assert len(set(owners(rows).values())) == 1
    assert len([row for row in rows if row.topic == "process.found_dead.v1"]) == 1


def corrections(rows: list[Stored]) -> list[Any]:
    return [state(row) for row in rows if row.topic == "completion.corrected.v1"]


@pytest.mark.parametrize(("gateways_count", "streams"), [(1, 24), pytest.param(2, 50, marks=pytest.mark.journey)])
async def test_while_the_database_is_away_streams_finish_and_are_settled_when_it_is_back(
    stage: Scene, gateways_count: int, streams: int
) -> None:
    gateways = await stage.start(gateways_count)
    await stage.furnish(gateways[0])
    whole = gateways_count * streams
    may_end = asyncio.Event()
    stage.provider.script = halved(may_end)
    under_way = [stream for gateway in gateways for stream in gateway.streams(streams)]
    await stage.under_way(whole)
    await asyncio.to_thread(stage.server.kill)
    await admission_is_refused_after_a_while(gateways[0])
    may_end.set()
    assert all(came.endswith(DONE) for came in await asyncio.gather(*under_way))

    await asyncio.to_thread(stage.server.start)
    await stage.until_settled(whole)
    rows = stage.rows()
    assert set(endings(rows).values()) == {1}
    assert (recovered(rows), recounted(rows)) == ([], (whole * COST_NANOS, 0))
    for gateway in gateways:
        await stage.until_it_says(gateway, whole * COST_NANOS)
    assert all(came.endswith(DONE) for came in [await gateway.stream() for gateway in gateways])
    # Each took its lock again: nobody is dead, long after all have been looked at anew.
    await asyncio.sleep(DEAD_AFTER_S + 1)
    assert stage.rows("process.found_dead.v1") == []
    stage.verified()


async def admission_is_refused_after_a_while(gateway: Gateway) -> None:
    began = asyncio.get_running_loop().time()
    refused = await gateway.client.post("/v1/chat/completions", json=CHAT)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json()["error"]["type"] == "service_unavailable_error"
    assert 1.9 < asyncio.get_running_loop().time() - began < 4
    assert (await gateway.client.get("/ready")).status_code == 503


@pytest.mark.journey
async def test_what_a_rewound_log_lost_is_entered_again_and_settled(stage: Scene) -> None:
    (first,) = await stage.start()
    await stage.furnish(first)
    stage.provider.script = halved()
    await asyncio.gather(*first.streams(2))
    may_end, may_end_before = asyncio.Event(), asyncio.Event()
    stage.provider.script = halved(may_end)
    known = first.streams(3)
    await stage.under_way(2 + 3)
    stage.provider.script = halved(may_end_before)
    end_is_lost = first.streams(1)
    await stage.under_way(2 + 3 + 1)
    kept = await back_up(stage)

    (second,) = await stage.start()
    may_end_before.set()
    await asyncio.gather(*end_is_lost)
    await stage.until_settled(2 + 1)
    stage.provider.script = halved(may_end)
    lost = [*first.streams(4), *second.streams(4)]
    await stage.under_way(2 + 3 + 1 + 8)
    may_end_meanwhile = asyncio.Event()
    stage.provider.script = halved(may_end_meanwhile)
    settling_first = [*first.streams(2), *second.streams(2)]
    await stage.under_way(2 + 3 + 1 + 12)
    lost_ids = owners(stage.rows()[kept:]).keys()
    await asyncio.to_thread(stage.server.stop)
    # Their settlements wait for a log that will not know them.
    may_end_meanwhile.set()
    assert all(came.endswith(DONE) for came in await asyncio.gather(*settling_first))
    await restore(stage)
    await asyncio.sleep(1)
    may_end.set()
    assert all(came.endswith(DONE) for came in await asyncio.gather(*known, *lost))
    await stage.until_settled(2 + 3 + 1 + 12)

    rows = stage.rows()
    readmitted = [row for row in rows if row.topic == "completion.readmitted.v1"]
    assert (len(readmitted), {row.stream for row in readmitted}) == (12, set(lost_ids))
    assert all(state(row)["lost_position"] > kept and row.by == "key:admin" for row in readmitted)
    assert set(endings(rows).values()) == {1}
    # The one whose end alone was lost is charged as recovery would.
    (orphan,) = recovered(rows)
    assert [row.by for row in rows if row.topic == "completion.settled.v1" and state(row).get("recovered")] == ["system:rewind"]
    # The second process is in the log again, and nobody takes it for dead.
    assert len([row for row in rows if row.topic == "process.started.v1"]) == 2
    await asyncio.sleep(DEAD_AFTER_S + 1)
    assert stage.rows("process.found_dead.v1") == []
    settled = 17 * COST_NANOS + orphan["cost_nanos"]
    assert recounted(rows) == (settled, 0)
    for gateway in (first, second):
        await stage.until_it_says(gateway, settled)
    report = stage.verified()
    assert (len(report.books.readmitted), len(report.books.rewinds) >= 1) == (12, True)


async def back_up(stage: Scene) -> int:
    """How many events are in it."""
    for step in (stage.server.stop, stage.server.copy, stage.server.start):
        await asyncio.to_thread(step)
    return len(stage.rows())


async def restore(stage: Scene) -> None:
    for step in (stage.server.put_copy_in_place, stage.server.start):
        await asyncio.to_thread(step)
