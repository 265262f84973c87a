"""A model is published together with its price: the one that is given, or else the provider's own where the price book knows it."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from application.ports import Committed, PriceBook
from domain.model.commands import PriceModel, PublishModel, ReviseModel
from domain.model.events import ModelContent
from domain.model.model import Model
from domain.price import Price


class Submit(Protocol):
    """Of whoever asks. `step` tells the second command of one request from its first."""

    def __call__(self, command: PublishModel | ReviseModel | PriceModel, *, step: str = "") -> Awaitable[Committed]: ...


Adopt = Callable[[ModelContent], Awaitable[PriceModel | None]]

PRICING = "price"


async def publish(command: PublishModel, given: PriceModel | None, submit: Submit, prices: PriceBook, now: datetime) -> Committed:
    """The price is found before anything is recorded, and recorded right after; a repetition records what an earlier try left out."""
    pricing = given or await adopted(command.model_id, command.content, prices, now)
    published = await submit(command)
    return published if pricing is None else await submit(pricing, step=PRICING)


async def revise(
    command: ReviseModel, before: Model | None, given: PriceModel | None, submit: Submit, prices: PriceBook, now: datetime
) -> Committed:
    """A price that somebody gave stays; one that was adopted goes with the provider's model that it was adopted for."""
    revised = await submit(command)
    model: Model = revised.state
    pricing = given
    if given is None and before is not None and not _same_upstream(before, model) and not _is_given(before.price(now)):
        pricing = await adopted(command.model_id, model.content, prices, now)
    return revised if pricing is None else await submit(pricing, step=PRICING)


async def adopted(model_id: str, content: ModelContent, prices: PriceBook, now: datetime) -> PriceModel | None:
    rates = await prices.rates(content.provider, content.provider_model, now)
    return None if rates is None else PriceModel(model_id=model_id, source="genai-prices", rates=rates)


def _same_upstream(before: Model, after: Model) -> bool:
    return (before.content.provider, before.content.provider_model) == (after.content.provider, after.content.provider_model)


def _is_given(price: Price | None) -> bool:
    return price is not None and price.source == "given"
