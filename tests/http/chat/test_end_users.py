"""Whom a completion is for: the provider is told as the client said it, the log a reference that says nothing."""

import asyncio
import logging
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain.budget.events import AtLimit
from tests.http.chat.conftest import PATH, Desk
from tests.http.conftest import MEMBER_SECRET

SEEN, ERASED = "end_user.seen.v1", "end_user.erased.v1"


async def reference(desk: Desk, value: str) -> str:
    found: str = (await desk.gateway.done("GET", f"/admin/end-users?value={value}"))["reference"]
    return found


async def end_users(desk: Desk) -> list[str | None]:
    """Of this key's completions."""
    return [event["data"]["end_user"] for event in await desk.recorded("completion.admitted.v1")]


async def erase(desk: Desk, of: str) -> Any:
    return await desk.gateway.done("DELETE", f"/admin/end-users/{of}")


async def test_a_person_is_known_by_one_reference_and_the_provider_is_told_who_it_is(desk: Desk) -> None:
    ada = f"ada-of-{desk.name}@example.com"
    for _ in range(2):
        assert (await desk.ask(user=ada)).status == 200
    of = await reference(desk, ada)
    assert UUID(of).version == 7
    assert await end_users(desk) == [of, of]
    assert len(await desk.recorded(SEEN)) == 1
    assert [received.body["user"] for received in desk.provider.received] == [ada, ada]


async def test_no_event_and_no_line_of_the_logs_says_who_it_is(
    desk: Desk, http_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ada = f"ada-of-{desk.name}"
    await desk.ask(user=ada)
    await desk.ask(user=ada, n="x")
    with psycopg.connect(http_database_url) as connection:
        said = connection.execute("SELECT body ->> 'hmac' FROM forgettable WHERE body ->> 'value' = %s", (ada,)).fetchone()
        assert said is not None
        everything = "SELECT count(*) FROM stored_events WHERE position(%s::bytea IN state) > 0"
        for secret in (ada, *said):
            assert connection.execute(everything, (secret.encode(),)).fetchone() == (0,)
            assert secret not in caplog.text


async def test_a_new_person_costs_no_second_batch_and_a_known_one_no_event(desk: Desk) -> None:
    measures = desk.gateway.log.writer.measures
    await desk.ask()
    spent = []
    for _ in range(2):
        before = measures.commands, measures.events
        await desk.ask(user=desk.name)
        spent.append((measures.commands - before[0], measures.events - before[1]))
    assert spent == [(2, 3), (2, 2)]  # an admission and a settlement; the first time, whom it is for


async def test_many_requests_for_a_new_person_at_once_name_one_reference(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.ask(user=desk.name) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert set(await end_users(desk)) == {await reference(desk, desk.name)}
    assert len(await desk.recorded(SEEN)) == 1


async def test_the_newer_name_of_the_field_wins_and_both_are_passed_on(desk: Desk) -> None:
    await desk.ask(user=f"{desk.name}-session", safety_identifier=f"{desk.name}-person")
    assert await end_users(desk) == [await reference(desk, f"{desk.name}-person")]
    (received,) = desk.provider.received
    assert {"user", "safety_identifier"} <= received.body.keys()


@pytest.mark.parametrize("nobody", [{}, {"user": ""}, {"user": None}, {"user": None, "safety_identifier": None}])
async def test_a_request_for_nobody_names_nobody(desk: Desk, nobody: dict[str, Any]) -> None:
    assert (await desk.ask(**nobody)).status == 200
    assert await end_users(desk) == [None]


@pytest.mark.parametrize("field", ["user", "safety_identifier"])
@pytest.mark.parametrize("value", ["x" * 513, "nul\0", 5, ["ada"], {"id": "ada"}])
async def test_what_can_be_nobodys_id_is_refused_by_the_fields_name(desk: Desk, field: str, value: Any) -> None:
    answer = await desk.ask(**{field: value})
    assert (answer.status, answer.error["type"], answer.error["param"]) == (400, "invalid_request_error", field)


async def test_any_other_text_is_somebody(desk: Desk) -> None:
    zoe = "Zoë 🦊 '\"\\u0000; DROP TABLE forgettable"
    assert (await desk.ask(user=zoe)).status == 200
    (of,) = await end_users(desk)
    assert UUID(of)


async def test_whoever_is_refused_leaves_no_trace(desk: Desk) -> None:
    await desk.open_budget(1, AtLimit.REJECT)
    assert (await desk.ask(user=f"{desk.name}-refused")).status == 429
    assert await desk.recorded(SEEN) == []
    answer = await desk.gateway.ask("GET", f"/admin/end-users?value={desk.name}-refused")
    assert (answer.status, answer.error["type"]) == (404, "not_found_error")


async def test_who_was_erased_is_found_no_more_and_met_again_as_somebody_new(desk: Desk) -> None:
    await desk.ask(user=desk.name)
    first = await reference(desk, desk.name)
    assert await erase(desk, first) == {"deleted": True, "reference": first}
    assert (await desk.gateway.ask("GET", f"/admin/end-users?value={desk.name}")).status == 404
    assert await erase(desk, first) == {"deleted": True, "reference": first}
    events = (await desk.gateway.done("GET", f"/admin/events?stream=main/end-user/{first}"))["events"]
    assert [event["topic"] for event in events] == [SEEN, ERASED]
    await desk.ask(user=desk.name)
    assert await end_users(desk) == [first, second := await reference(desk, desk.name)]
    assert second != first


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 400),
        ("GET", "?value=", 400),
        ("GET", "?value=" + "x" * 513, 400),
        ("GET", "?value=%FF", 404),
        ("GET", "?value=nobody-has-ever-heard-of", 404),
        ("DELETE", "/01981a2b-0000-7000-8000-000000000000", 404),
        ("DELETE", "/ada", 400),
        ("DELETE", "/" + "x" * 5_000, 400),
        ("DELETE", "/a%2Fb", 400),
    ],
)
async def test_questions_that_make_no_sense_are_refused(desk: Desk, method: str, path: str, status: int) -> None:
    answer = await desk.gateway.ask(method, f"/admin/end-users{path}")
    assert (answer.status, bool(answer.error["message"])) == (status, True)


@pytest.mark.parametrize(("method", "path"), [("GET", "?value=ada"), ("DELETE", "/01981a2b-0000-7000-8000-000000000000")])
async def test_only_administrators_may_ask_who_somebody_is(desk: Desk, method: str, path: str) -> None:
    for secret, status in ((MEMBER_SECRET, 403), (None, 401)):
        assert (await desk.gateway.ask(method, f"/admin/end-users{path}", secret=secret)).status == status


async def test_a_stream_is_for_somebody_too(desk: Desk) -> None:
    answer = await desk.gateway.ask("POST", PATH, desk.body(stream=True, user=desk.name), secret=desk.secret)
    assert answer.raw.endswith(b"data: [DONE]\n\n")
    assert await end_users(desk) == [await reference(desk, desk.name)]
