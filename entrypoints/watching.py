"""What the gateway can do without for a while, looked at every other second: the cache, and the process that feeds the read models."""

import asyncio
from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from adapters.log.reading import PostgresEvents
from adapters.projecting.projector import PROJECTOR_LOCK
from domain.errors import Unavailable

LOOK_S: Final = 2.0
ANSWER_S_MAX: Final = 1.0

Conditions = dict[str, str | None]
"""By name, what is wrong with it; None: nothing."""


async def watch(conditions: Conditions, redis_url: str, events: PostgresEvents) -> None:
    """For ever."""
    cache = redis.asyncio.from_url(redis_url, socket_timeout=ANSWER_S_MAX, socket_connect_timeout=ANSWER_S_MAX, retry=Retry(NoBackoff(), 0))
    async with cache:
        while True:
            conditions["cache"] = await _cache(cache)
            conditions["projector"] = await _projector(events)
            await asyncio.sleep(LOOK_S)


async def _cache(cache: redis.asyncio.Redis) -> str | None:
    try:
        await cache.ping()
    except (redis.RedisError, OSError):
        return "the cache does not answer"
    return None


async def _projector(events: PostgresEvents) -> str | None:
    try:
        active = await events.is_held(PROJECTOR_LOCK)
    except Unavailable:
        return "whether the read models are fed can't be found out"
    return None if active else "nobody feeds the read models"
