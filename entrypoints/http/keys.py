"""What the application and its requests carry, by typed keys."""

from typing import Final

from aiohttp import web

from adapters.read_models import ReadModels
from application.ports import EventReader, PriceBook
from application.world import World
from domain.admission.directory import Caller
from entrypoints.measuring import Measures
from entrypoints.watching import Conditions

WORLD: Final = web.AppKey("world", World)
EVENTS: Final = web.AppKey("events", EventReader)
READ_MODELS: Final = web.AppKey("read_models", ReadModels)
PRICES: Final = web.AppKey("prices", PriceBook)
DIGEST_KEY: Final = web.AppKey("digest_key", bytes)
"""Of this installation: what clients write into Idempotency-Key is stored as an HMAC under it."""
VERSION: Final = web.AppKey("version", str)
PROCESS: Final = web.AppKey("process", str)
"""This one's name among those of its machine."""
MEASURES: Final = web.AppKey("measures", Measures)
CONDITIONS: Final = web.AppKey("conditions", Conditions)

CALLER: Final = web.RequestKey("caller", Caller)
REQUEST_ID: Final = web.RequestKey("request_id", str)
ANSWER_BEGUN: Final = web.RequestKey("answer_begun", bool)
"""Set once the head of the answer is being sent: from then on an error can't become another answer."""
