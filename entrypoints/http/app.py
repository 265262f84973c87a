"""The HTTP application: its middlewares, and all its routes in one place."""

import logging
from typing import Final

from aiohttp import web

from adapters.read_models import ReadModels
from application.ports import EventReader, PriceBook
from application.world import World
from entrypoints.http import health, openai
from entrypoints.http.admin import api_keys, budget_questions, budgets, completions, credentials, end_users, events, models, teams, usage
from entrypoints.http.errors import answer_errors
from entrypoints.http.headers import add_headers
from entrypoints.http.health import count_requests
from entrypoints.http.keys import CONDITIONS, DIGEST_KEY, EVENTS, MEASURES, PRICES, PROCESS, READ_MODELS, VERSION, WORLD
from entrypoints.measuring import Measures
from entrypoints.watching import Conditions

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
HEADER_BYTES_MAX: Final = 32 * 1024
"""Of the request line, and of each header; a longer one is answered by aiohttp itself, with a bare 400."""
HANDLERS_END_S: Final = 2.0
"""For answers under way when the server is taken down, which comes after the drain; then they are cancelled."""

QUIET: Final = logging.getLogger("entrypoints.http.protocol")
QUIET.setLevel(logging.CRITICAL)
"""For aiohttp's own reports: they quote what clients sent, and anybody can cause them. Failures of ours are noted in `errors`."""

ROUTES: Final = (
    *health.ROUTES,
    *openai.ROUTES,
    *teams.ROUTES,
    *api_keys.ROUTES,
    *credentials.ROUTES,
    *models.ROUTES,
    *budget_questions.ROUTES,
    *budgets.ROUTES,
    *usage.ROUTES,
    *completions.ROUTES,
    *end_users.ROUTES,
    *events.ROUTES,
)


def build_app(
    world: World,
    *,
    events: EventReader,
    read_models: ReadModels,
    prices: PriceBook,
    digest_key: bytes,
    version: str,
    process: str = "gateway",
    measures: Measures | None = None,
    conditions: Conditions | None = None,
) -> web.Application:
    """`digest_key` is the installation's own: whoever repeats a request must meet the same one after a restart."""
    measures = measures or Measures()
    conditions = Conditions() if conditions is None else conditions
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[count_requests(measures), answer_errors])
    app[WORLD], app[EVENTS], app[READ_MODELS], app[PRICES] = world, events, read_models, prices
    app[DIGEST_KEY], app[VERSION], app[PROCESS] = digest_key, version, process
    app[MEASURES], app[CONDITIONS] = measures, conditions
    app.on_response_prepare.append(add_headers)
    app.add_routes(ROUTES)
    return app


def runner_of(app: web.Application) -> web.AppRunner:
    """The one way to serve it: a handler whose client has gone is cancelled, so that its upstream call ends too."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        logger=QUIET,
        shutdown_timeout=HANDLERS_END_S,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
