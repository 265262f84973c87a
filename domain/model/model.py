"""The rules of a model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from domain.errors import Conflict, Invalid, NotFound, Unreadable
from domain.ids import CredentialId
from domain.kernel import Decider, Event, Recorded, UnknownEvent
from domain.model.commands import PriceModel, PublishModel, RetireModel, ReviseModel
from domain.model.events import ModelConfig, ModelContent, ModelPriced, ModelPublished, ModelRetired
from domain.price import Price, Tier, in_force
from domain.state import Kind

RATE_MAX: Final = 1_000_000_000_000_000
"""A dollar for each token: above any real rate, and a whole call's cost stays inside 64 bits."""
PRICES_MAX: Final = 1_000
"""Of one model, over its whole life: they are in memory everywhere, since what was admitted keeps its price."""
TIERS_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    content: ModelContent
    version: int
    config_version: int
    """Counts the changes of `content.config` alone."""
    prices: tuple[Price, ...]
    prices_given: int
    """Ever, so that a price's id is never given twice: a model that is published again begins without prices."""
    retired: bool
    created_at: datetime
    updated_at: datetime
    readable: bool = True

    def price(self, at: datetime) -> Price | None:
        """None: unknown."""
        return in_force(self.prices, at)


MODELS: Final = Kind[str, Model]("model")

ModelCommand = PublishModel | ReviseModel | PriceModel | RetireModel


def decide(command: ModelCommand, model: Model | None, now: datetime) -> Iterator[Event]:
    match command, model:
        case _, Model(readable=False):
            raise Unreadable
        case PublishModel(), None | Model(retired=True):
            yield ModelPublished(version=1 if model is None else model.version + 1, content=command.content)
        case PublishModel(), _:
            raise Conflict(f"Model {command.model_id} already exists", param="id")
        case _, None | Model(retired=True):
            raise NotFound(f"There is no model {command.model_id}")
        case ReviseModel(), Model():
            content = _revised(model.content, command)
            if content != model.content:
                yield ModelPublished(version=model.version + 1, content=content)
        case PriceModel(), Model():
            yield from _price(command, model, now)
        case RetireModel(), _:
            yield ModelRetired()


def _revised(content: ModelContent, command: ReviseModel) -> ModelContent:
    said = {name: value for name, value in command if name != "model_id" and value is not None}
    if command.config == ModelConfig():
        del said["config"]
    return content.model_copy(update=said)


def _price(command: PriceModel, model: Model, now: datetime) -> Iterator[Event]:
    rates = {category: _in_order(tiers) for category, tiers in command.rates.items() if tiers}
    begins = now if command.effective_from is None else max(now, command.effective_from)
    before = in_force(model.prices, begins)
    if before is not None and (before.source, before.rates) == (command.source, rates):
        return
    if model.prices_given >= PRICES_MAX:
        raise Invalid(f"A model can't be given more than {PRICES_MAX} prices", param="price")
    price_id = f"{command.model_id}.{model.prices_given + 1}"
    yield ModelPriced(price=Price(price_id=price_id, source=command.source, rates=rates, effective_from=begins))


def _in_order(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """From the shortest prompts up; every prompt has a rate, since one that is forgotten would be free."""
    ascending = tuple(sorted(tiers, key=lambda tier: tier.above_prompt_tokens))
    starts = [tier.above_prompt_tokens for tier in ascending]
    if starts[0] != 0 or len(set(starts)) < len(starts) or len(starts) > TIERS_MAX:
        raise Invalid(f"A price's tiers must begin at 0 prompt tokens and at different lengths, and be at most {TIERS_MAX}", param="price")
    if not all(0 <= tier.nanos_per_million <= RATE_MAX for tier in tiers):
        raise Invalid("A price's rates must be between 0 and 1,000,000 US dollars per million", param="price")
    return ascending


def evolve(model: Model | None, recorded: Recorded[Any]) -> Model | None:
    match recorded.event, model:
        case ModelPublished() as published, None | Model(retired=True):
            began = _blank(recorded.at) if model is None else replace(model, prices=(), retired=False, created_at=recorded.at)
            return _published(began, published, recorded.at)
        case ModelPublished() as published, Model():
            return _published(model, published, recorded.at)
        case UnknownEvent(), _:
            return replace(model or _blank(recorded.at), readable=False, updated_at=recorded.at)
        case ModelPriced(price=price), Model(retired=False):
            return replace(model, prices=(*model.prices, price), prices_given=model.prices_given + 1, updated_at=recorded.at)
        case ModelRetired(), Model(retired=False):
            return replace(model, retired=True, updated_at=recorded.at)
    return model


def _published(model: Model, published: ModelPublished, at: datetime) -> Model:
    """A price that was adopted goes with the provider's model that it was adopted for: rather none than a wrong one."""
    content, before = published.content, model.content
    configured = model.config_version == 0 or content.config != before.config
    same_upstream = (content.provider, content.provider_model) == (before.provider, before.provider_model)
    return replace(
        model,
        content=content,
        version=published.version,
        config_version=model.config_version + configured,
        prices=model.prices if same_upstream else tuple(price for price in model.prices if price.source == "given"),
        updated_at=at,
    )


def _blank(at: datetime) -> Model:
    nothing = ModelContent(
        name="unknown", provider="unknown", provider_model="unknown", credential_id=CredentialId("unknown"), enabled=True
    )
    return Model(content=nothing, version=0, config_version=0, prices=(), prices_given=0, retired=False, created_at=at, updated_at=at)


decider = Decider[Model](
    category="model",
    identity="model_id",
    kind=MODELS,
    commands=(PublishModel, ReviseModel, PriceModel, RetireModel),
    events=(ModelPublished, ModelPriced, ModelRetired),
    decide=decide,
    evolve=evolve,
)
