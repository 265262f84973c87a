"""/admin/models"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from aiohttp import web
from orjson import Fragment

from application.publishing import publish, revise
from application.world import World
from domain.errors import Invalid
from domain.ids import ORG_DEFAULT
from domain.model.commands import PriceModel, PublishModel, RetireModel, ReviseModel
from domain.model.events import ModelConfig
from domain.model.model import MODELS, RATE_MAX, Model, decider
from domain.price import Category, Price, Tier
from entrypoints.http.admin.credentials import CREDENTIAL
from entrypoints.http.authentication import asker
from entrypoints.http.keys import PRICES, WORLD
from entrypoints.http.routing import (
    Resource,
    all_of,
    check_named,
    command,
    deleted,
    fields_of,
    one_of,
    query,
    shown_after,
    submit,
    wire_names,
)
from entrypoints.http.wire import Body, Row, checked, nanos_field, usd
from projections import models

FREE: Final = "free"
UNKNOWN_PRICE: Final = (
    "price: unknown. While it is, calls are refused where a budget applies, and are recorded without a cost elsewhere. "
    'Give a price, or "free", with PUT.'
)
ABSENT_WHEN_UNSET: Final = frozenset({"timeout_ms", "max_retries", "retry_delay_ms", "fallback_model_id", "drop_unsupported"})

RATE_FIELDS: Final = {category: f"{category}_usd_per_million" for category in Category}
REQUIRED_RATES: Final = (Category.INPUT, Category.OUTPUT)


def row(world: World, model_id: str, model: Model | models.Model) -> Row:
    content = model.content
    # A price that begins with the last change is in force, even where this process's clock is a little behind the log's.
    price = model.price(max(world.clock.now(), model.updated_at))
    return {
        "id": model_id,
        "name": content.name,
        "provider": content.provider,
        "provider_model": content.provider_model,
        "credential_id": content.credential_id,
        "enabled": content.enabled,
        "config": config_row(content.config),
        "config_version": model.config_version,
        "max_output_tokens": content.max_output_tokens,
        "image_tokens_max": content.image_tokens_max,
        "price": price_row(price),
        "price_source": price.source if price else "unknown",
        **({} if price else {"warning": UNKNOWN_PRICE}),
        "created_at": model.created_at,
        "updated_at": model.updated_at,
    }


def config_row(config: ModelConfig) -> Row:
    return {name: value for name, value in config if value is not None or name not in ABSENT_WHEN_UNSET}


def price_row(price: Price | None) -> Row | str | None:
    """The rates of short prompts at the top, those of longer ones beside them."""
    if price is None or not price.rates:
        return FREE if price else None
    starts = sorted({tier.above_prompt_tokens for tiers in price.rates.values() for tier in tiers})
    longer = [{"from_prompt_tokens": start, **rates_from(price, start)} for start in starts if start]
    return {**rates_from(price, 0), **({"longer_prompts": longer} if longer else {}), "effective_from": price.effective_from}


def rates_from(price: Price, start: int) -> dict[str, Fragment]:
    return {
        RATE_FIELDS[category]: usd(tier.nanos_per_million)
        for category, tiers in price.rates.items()
        for tier in tiers
        if tier.above_prompt_tokens == start
    }


MODEL: Final = Resource[Model](
    plural="models",
    noun="model",
    decider=decider,
    row=row,
    exists=lambda model: not model.retired,
    select=lambda _world, connection, model_id: models.select(connection, ORG_DEFAULT, model_id),
)

WIRE_NAMES: Final = {**wire_names(MODEL), "content": ""}


async def create(request: web.Request) -> web.Response:
    who, world = await asker(request), request.app[WORLD]
    body = await fields_of(request, MODEL)
    asked = checked(PublishModel, {**body, "content": body}, WIRE_NAMES)
    given = given_price(asked.model_id, body)
    await check_named(world, CREDENTIAL, asked.content.credential_id, "credential_id")
    done = await publish(asked, given, partial(submit, request, who), request.app[PRICES], world.clock.now())
    return shown_after(request, MODEL, asked, done)


async def change(request: web.Request) -> web.Response:
    who, world = await asker(request), request.app[WORLD]
    body = await fields_of(request, MODEL)
    asked = checked(ReviseModel, {**body, **request.match_info}, WIRE_NAMES)
    given = given_price(asked.model_id, body)
    if asked.credential_id is not None:
        await check_named(world, CREDENTIAL, asked.credential_id, "credential_id")
    before = world.log.view.get(MODELS, asked.model_id)
    done = await revise(asked, before, given, partial(submit, request, who), request.app[PRICES], world.clock.now())
    return shown_after(request, MODEL, asked, done)


def given_price(model_id: str, body: Body) -> PriceModel | None:
    match body.get("price"):
        case None:
            return None
        case "free":
            fields: Mapping[str, Any] = {"rates": {}}
        case dict() as price:
            fields = {"rates": given_rates(price), "effective_from": price.get("effective_from")}
        case _:
            raise Invalid('price: must be "free" or an object with input_usd_per_million and output_usd_per_million', param="price")
    return checked(PriceModel, {"model_id": model_id, "source": "given", **fields}, {"effective_from": "price"})


def given_rates(price: Body) -> Mapping[str, tuple[Tier, ...]]:
    rates = {category: given_rate(price, name) for category, name in RATE_FIELDS.items()}
    for category in REQUIRED_RATES:
        if rates[category] is None:
            raise Invalid(f"price.{RATE_FIELDS[category]}: Field required", param="price")
    return {category.value: (Tier(nanos_per_million=nanos),) for category, nanos in rates.items() if nanos is not None}


def given_rate(price: Body, name: str) -> int | None:
    try:
        nanos = nanos_field(price, name)
    except Invalid as wrong:
        raise Invalid(f"price.{wrong.message}", param="price") from None
    if nanos is not None and not 0 <= nanos <= RATE_MAX:
        raise Invalid(f"price.{name}: must be between 0 and 1000000 US dollars", param="price")
    return nanos


ROUTES: Final = (
    query("/admin/models", all_of(MODEL), models),
    query("/admin/models/{model_id}", one_of(MODEL), models),
    web.post("/admin/models", create),
    web.put("/admin/models/{model_id}", change),
    command("DELETE", "/admin/models/{model_id}", RetireModel, MODEL, show=deleted),
)
