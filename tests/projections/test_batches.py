"""However the log is cut into batches, and however often, the rows are the same, and they agree with the ledger."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.log.chain import GENESIS
from adapters.log.recorder import LogRecorder
from adapters.projecting.advancing import LIVE, Overtaken, Tracked, advance, read
from domain.admission.ledger import balance
from domain.budget.budget import BUDGETS
from domain.completion.completion import OPEN_COMPLETIONS
from domain.completion.events import EndReason
from domain.kernel import Event
from domain.time import Period, period_start
from projections import READ_MODELS, budgets, holds
from tests import examples as a
from tests.examples import EVENTS
from tests.projections.handwritten import BEGAN, HandwrittenLog, Said, asking, connected, emptied, everything, projected

STREAMS = {"team": "team/t", "api_key": "api-key/k", "credential": "credential/c", "model": "model/m", "usage": "usage/records"}
ENTITIES: list[Said] = [
    (STREAMS[kind.topic.split(".")[0]], build()) for kind, build in EVENTS.items() if kind.topic.split(".")[0] in STREAMS
]
BUDGET: list[Event] = [a.budget_reset(), a.budget_disabled(), a.budget_limit_changed(), a.budget_closed(), a.budget_enabled()]


def life(number: int, budget_id: str, ending: str, raised: bool) -> list[Said]:
    """A completion from its beginning to one of its ends, or to none yet."""
    account = {"budget_id": budget_id, "generation": 1, "period_start": period_start(Period.DAILY, "Europe/Berlin", BEGAN)}
    stream = f"completion/c{number}"
    admitted = a.completion_admitted(holds=(a.hold(**account, nanos=100),), api_key_id=f"k{number % 2}")
    settled: dict[str, Any] = {"holds": (a.hold_outcome(**account, spent_nanos=60),)}
    events: list[Event] = [a.completion_readmitted(admitted=admitted) if ending == "readmitted" else admitted, a.completion_progressed()]
    if raised:
        events.append(a.completion_hold_raised(holds=(a.hold(**account, nanos=20),)))
    match ending:
        case "settled" | "readmitted":
            events.append(a.completion_settled(**settled))
        case "failed":
            events.append(a.completion_settled(**settled, end_reason=EndReason.TIMED_OUT, cost_nanos=None, attempts=()))
        case "corrected":
            events.append(a.completion_settled(**settled, recovered=True, attempts=()))
            events.append(a.completion_corrected(holds=(a.hold_correction(**account, spent_nanos=50, moved_nanos=-10),)))
        case "recovered":
            events.append(a.completion_settled(**settled, recovered=True, attempts=()))
    return [(stream, event) for event in events]


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    """Completions on two budgets, and whatever happens to everything else, in any order that keeps each stream's own."""
    endings = st.sampled_from(["settled", "failed", "corrected", "recovered", "readmitted", "open"])
    lives = [life(number, draw(st.sampled_from("bd")), draw(endings), draw(st.booleans())) for number in range(draw(st.integers(1, 6)))]
    queues: list[list[Said]] = [*lives, draw(st.lists(st.sampled_from(ENTITIES), max_size=12))]
    queues.append([("budget/b", event) for event in draw(st.lists(st.sampled_from(BUDGET), max_size=4))])
    said: list[Said] = [("budget/b", a.budget_opened()), ("budget/d", a.budget_opened(period=Period.WEEKLY))]
    while queues := [queue for queue in queues if queue]:
        said.append(draw(st.sampled_from(queues)).pop(0))
    return said


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), cuts=st.lists(st.integers(1, 9), min_size=1, max_size=4), minutes=st.integers(0, 50))
async def test_any_cut_gives_the_same_rows_and_they_agree_with_the_ledger(
    database_url: str, history: list[Said], cuts: Sequence[int], minutes: int
) -> None:
    log = HandwrittenLog(database_url)
    log.clear()
    for schema in (LIVE, "cut"):
        emptied(database_url, schema)
    log.write(*history, every=timedelta(minutes=minutes))
    projected(database_url)
    projected(database_url, schema="cut", batch=cuts)
    assert everything(database_url, "cut") == everything(database_url)
    await agrees_with_the_ledger(log)


async def agrees_with_the_ledger(log: HandwrittenLog) -> None:
    state = log.state
    async with await asking(log.url) as connection:
        standings = {each.id: each for each in await budgets.select(connection, "main", now=log.at)}
        for budget_id, budget in state.items(BUDGETS):
            if budget.closed:
                assert budget_id not in standings
                continue
            shown, told = standings[budget_id].balance, balance(state, budget_id, log.at)
            assert shown == (told.period_start, told.period_end, told.settled_nanos, told.held_nanos)
            assert standings[budget_id].budget.enabled == budget.enabled
            page = await holds.on_budget(connection, "main", budget_id, 1, after="", limit=100)
            held = {
                (completion_id, hold.nanos)
                for completion_id, completion in state.items(OPEN_COMPLETIONS)
                for hold in completion.holds
                if hold.budget_id == budget_id
            }
            assert {(each.completion_id, each.nanos) for each in page.rows} == held


def test_the_same_batch_a_second_time_changes_nothing(log: HandwrittenLog) -> None:
    log.write(("budget/b", a.budget_opened()), *life(1, "b", "settled", raised=True), *life(2, "b", "open", raised=False))
    (batch,) = projected(log.url)
    before = everything(log.url)
    with connected(log.url) as connection, pytest.raises(Overtaken):
        advance(connection, READ_MODELS, batch)
    assert everything(log.url) == before


def test_what_nobody_knows_is_passed_over(log: HandwrittenLog) -> None:
    log.write(("team/a", a.team_created()), ("team/a", b'{"ice":1}'), ("comet/x", b"\xff not even JSON"))
    log.write(("team/a", b'{"name":7}'), topic="team.renamed.v1")
    log.write(("team/b", b'{"name":"B","since":{"a":"newer release"}}'), topic="team.created.v1")
    projected(log.url)
    assert [(row[1], row[2]) for row in everything(log.url)["teams"]] == [("a", "Research"), ("b", "B")]
    (last,) = [Tracked(row[1], row[2]) for row in _tracking(log.url) if row[0] == "teams"]
    assert last == (5, log.hash)


def _tracking(url: str) -> list[tuple[Any, ...]]:
    with connected(url) as connection:
        return connection.execute("SELECT * FROM tracking").fetchall()


def test_a_page_ends_where_it_is_told_to(log: HandwrittenLog) -> None:
    log.write(*(("team/a", a.team_renamed(name=f"A{number}")) for number in range(9)))
    recorder = LogRecorder(log.url, connections=1)
    first = read(recorder, Tracked(), 4, READ_MODELS)
    assert first is not None
    assert (first.start, first.end.position, first.rows) == (Tracked(0, GENESIS), 4, 4)
    second = read(recorder, first.end, 100, READ_MODELS, until=6)
    assert second is not None
    assert (second.end.position, second.rows) == (6, 2)
    assert read(recorder, second.end, 100, READ_MODELS, until=6) is None
    recorder.close()
