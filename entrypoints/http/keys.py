"""What the application and its requests carry, by typed keys."""

from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from application.ports import EventReader, PriceBook
from application.world import World
from domain.admission.directory import Caller

WORLD: Final = web.AppKey("world", World)
EVENTS: Final = web.AppKey("events", EventReader)
PRICES: Final = web.AppKey("prices", PriceBook)
DIGEST_KEY: Final = web.AppKey("digest_key", bytes)
"""Of this installation: what clients write into Idempotency-Key is stored as an HMAC under it."""
VERSION: Final = web.AppKey("version", str)
METRICS: Final = web.AppKey("metrics", CollectorRegistry)

CALLER: Final = web.RequestKey("caller", Caller)
REQUEST_ID: Final = web.RequestKey("request_id", str)
ANSWER_BEGUN: Final = web.RequestKey("answer_begun", bool)
"""Set once the head of the answer is being sent: from then on an error can't become another answer."""
