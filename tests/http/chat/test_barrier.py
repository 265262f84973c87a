"""Many clients at once against one budget: exactly as many are admitted as its money allows."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from application.prompt_bound import prompt_tokens_bound
from domain.budget.events import AtLimit
from tests.http.chat.conftest import INPUT_NANOS, MAX_OUTPUT_TOKENS, OUTPUT_NANOS, Desk
from tests.scripted_provider import Script

CLAMP_SHARE, CLAMP_TOKENS_MIN = 8, 256
"""Of what is free, a hold takes at most an eighth, but never less than 256 tokens' worth."""


@pytest.fixture
async def sdk(desk: Desk) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{desk.gateway.url}/v1", api_key=desk.secret, max_retries=0) as sdk:
        yield sdk


def messages(padding: int = 0) -> list[ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": "hello" + "!" * padding}]


def prompt_bound(padding: int = 0) -> int:
    return prompt_tokens_bound({"model": "any", "messages": messages(padding), "stream": True})[0]


async def streamed(sdk: openai.AsyncOpenAI, desk: Desk, padding: int = 0) -> bool:
    """Whether it was admitted; if so, read to its end."""
    try:
        stream = await sdk.chat.completions.create(model=desk.name, messages=messages(padding), stream=True)
    except openai.RateLimitError:
        return False
    return [chunk async for chunk in stream] != []


async def wave(sdk: openai.AsyncOpenAI, desk: Desk, *, clients: int, admitted: int, padding: int = 0) -> int:
    """All ask while the provider answers nobody; then it answers. Returns how many were admitted."""
    desk.provider.hold()
    before = len(desk.provider.received)
    asking = [asyncio.create_task(streamed(sdk, desk, padding)) for _ in range(clients)]
    await desk.provider.until_received(before + admitted, within_s=30)
    first_ones = asyncio.as_completed(asking, timeout=30)
    assert not any([await next(first_ones) for _ in range(clients - admitted)])
    assert len(desk.provider.received) == before + admitted
    desk.provider.release()
    return sum(await asyncio.gather(*asking))


async def test_a_budget_that_rejects_admits_exactly_what_fits(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    padding = -prompt_bound() % 4
    hold_nanos = prompt_bound(padding) * INPUT_NANOS + MAX_OUTPUT_TOKENS * OUTPUT_NANOS
    await desk.open_budget(20 * hold_nanos + hold_nanos // 2, AtLimit.REJECT)
    desk.provider.script = Script(usage={"prompt_tokens": hold_nanos // 4 // INPUT_NANOS, "completion_tokens": 0})
    assert await wave(sdk, desk, clients=200, admitted=20, padding=padding) == 20
    assert await wave(sdk, desk, clients=40, admitted=15, padding=padding) == 15  # 20 × ¼ are spent: 15½ holds are free


async def test_a_budget_that_clamps_shortens_more_and_more(desk: Desk, sdk: openai.AsyncOpenAI) -> None:
    bound, limit_nanos = prompt_bound(), 12_000_000
    caps, free_nanos = [], limit_nanos
    while True:
        affordable = (free_nanos // CLAMP_SHARE - bound * INPUT_NANOS) // OUTPUT_NANOS
        cap = max(min(MAX_OUTPUT_TOKENS, affordable), CLAMP_TOKENS_MIN)
        free_nanos -= bound * INPUT_NANOS + cap * OUTPUT_NANOS
        if free_nanos < 0:
            break
        caps.append(cap)
    await desk.open_budget(limit_nanos, AtLimit.CLAMP)
    assert await wave(sdk, desk, clients=len(caps) + 20, admitted=len(caps)) == len(caps)
    assert sorted((received.body["max_tokens"] for received in desk.provider.received), reverse=True) == caps
    assert len(set(caps)) > 3
