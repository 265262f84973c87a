"""A completion asked for twice under one Idempotency-Key is made and charged once; its answer is not kept, and the second is told so."""

import asyncio
import re
from typing import Any

import openai
import pytest

from domain.budget.events import AtLimit
from tests.http.chat.conftest import PATH, Desk
from tests.http.conftest import Answer
from tests.scripted_provider import Script

KEY = "the-client-s-own-key"
HMAC = re.compile(r"[0-9a-f]{64}")


async def once(desk: Desk, key: str = KEY, *, secret: str | None = None, **changes: Any) -> Answer:
    return await desk.gateway.ask("POST", PATH, desk.body(**changes), secret=secret or desk.secret, headers={"Idempotency-Key": key})


async def admitted(desk: Desk) -> list[dict[str, Any]]:
    return [event["data"] for event in await desk.recorded("completion.admitted.v1")]


def refused_for(answer: Answer, completion_id: str) -> None:
    assert (answer.status, answer.error["type"], answer.error["code"]) == (409, "invalid_request_error", "idempotency_key_in_use")
    assert completion_id in answer.error["message"]
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
async def test_after_it_ran_the_same_request_is_told_which_completion_it_was(desk: Desk, stream: bool) -> None:
    first = await once(desk, stream=stream)
    assert first.status == 200
    refused_for(await once(desk, stream=stream), first.headers["x-gateway-completion-id"])
    assert len(desk.provider.received) == len(await admitted(desk)) == 1


async def test_while_it_runs_the_same_request_is_told_so_too(desk: Desk) -> None:
    desk.provider.hold()
    running = asyncio.create_task(once(desk))
    await desk.provider.until_received(1)
    again = await once(desk)
    desk.provider.release()
    refused_for(again, (await running).headers["x-gateway-completion-id"])
    assert len(desk.provider.received) == 1


async def test_of_many_at_once_one_is_made(desk: Desk) -> None:
    answers = await asyncio.gather(*(once(desk) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    assert len(desk.provider.received) == len(await admitted(desk)) == 1
    assert desk.world.runs.under_way == {}


async def test_a_failure_of_the_provider_is_not_tried_again_under_the_same_key(desk: Desk) -> None:
    desk.provider.queued.append(Script(status=500))
    first = await once(desk)
    assert first.status >= 500
    refused_for(await once(desk), first.headers["x-gateway-completion-id"])


async def test_another_request_under_the_same_key_is_a_conflict(desk: Desk) -> None:
    await once(desk)
    answer = await once(desk, temperature=1)
    assert (answer.status, answer.error["code"]) == (409, "idempotency_key_reused")
    assert len(desk.provider.received) == 1


async def test_a_request_that_was_refused_may_be_asked_again(desk: Desk) -> None:
    budget = await desk.open_budget(1, AtLimit.REJECT)
    assert (await once(desk)).status == 429
    await desk.gateway.done("PUT", f"/admin/budgets/{budget}", {"hard_limit_usd": 1})
    assert (await once(desk)).status == 200


async def test_each_client_has_keys_of_its_own(desk: Desk) -> None:
    other = await desk.issue_key(f"{desk.name}-b")
    assert [(await once(desk)).status, (await once(desk, secret=other)).status, (await once(desk, "another")).status] == [200] * 3


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    answer = await once(desk, key)
    assert (answer.status, answer.error["param"]) == (400, "Idempotency-Key")
    assert not desk.provider.received


async def test_the_log_knows_keys_and_requests_by_their_hmacs(desk: Desk) -> None:
    await once(desk)
    await desk.ask()
    await desk.ask(temperature=1)
    with_key, without, other = await admitted(desk)
    assert HMAC.fullmatch(with_key["idempotency_key"])
    assert HMAC.fullmatch(with_key["request_digest"])
    assert (without["idempotency_key"], without["request_digest"]) == (None, with_key["request_digest"])
    assert HMAC.fullmatch(other["request_digest"])
    assert other["request_digest"] != without["request_digest"]


async def test_what_is_too_large_to_be_digested_in_passing_has_no_digest_unless_it_has_a_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrypoints.http.conditions.DIGESTED_BYTES_MAX", 10)
    await desk.ask()
    await once(desk)
    assert [each["request_digest"] is not None for each in await admitted(desk)] == [False, True]


async def test_the_sdk_gives_up_at_once(desk: Desk) -> None:
    """A conflict is what it would repeat by itself."""
    await once(desk)
    async with openai.AsyncOpenAI(base_url=f"{desk.gateway.url}/v1", api_key=desk.secret, max_retries=5) as sdk:
        asking = sdk.with_options(default_headers={"Idempotency-Key": KEY}).chat.completions
        commands = desk.gateway.log.writer.measures.commands
        with pytest.raises(openai.ConflictError):
            await asking.create(model=desk.name, messages=[{"role": "user", "content": "something else"}])
        assert desk.gateway.log.writer.measures.commands <= commands + 1
