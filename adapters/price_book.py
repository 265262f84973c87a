"""Prices as the genai-prices package knows them, in its bundled state: it is never asked to fetch newer ones."""

import asyncio
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from domain.money import NANOS_PER_USD
from domain.price import TOKENS_PER_RATE, Category, Rates, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

PROVIDERS: Final = {"azure_openai": "azure", "aws_bedrock": "aws"}
"""Ours by their names there; a provider that isn't listed has the same name there, or none."""


class Counted(NamedTuple):
    """How a rate there is said here."""

    category: Category
    units_per_price: int = TOKENS_PER_RATE


COUNTED: Final = {
    "input_mtok": Counted(Category.INPUT),
    "cache_read_mtok": Counted(Category.CACHED_INPUT),
    "cache_write_mtok": Counted(Category.CACHE_WRITE),
    "cache_write_1h_mtok": Counted(Category.CACHE_WRITE_1H),
    "input_audio_mtok": Counted(Category.INPUT_AUDIO),
    "output_mtok": Counted(Category.OUTPUT),
    "output_audio_mtok": Counted(Category.OUTPUT_AUDIO),
    "requests_kcount": Counted(Category.REQUEST, 1_000),
}

LEFT_OUT: Final = frozenset({"web_searches_kcount", "storage_searches_kcount", "cache_audio_read_mtok"})
"""Extras that not every call has. A model with any other rate is measured by what nobody counts here: its price is unknown."""


class GenaiPrices:
    """A `PriceBook`."""

    async def rates(self, provider: str, provider_model: str, at: datetime) -> Rates | None:
        """In a thread: importing the package takes a third of a second, once, and only processes that publish models pay it."""
        return await asyncio.to_thread(rates, provider, provider_model, at)


def rates(provider: str, provider_model: str, at: datetime) -> Rates | None:
    """What the model costs at that time; where the time of day matters, the dearest of the day."""
    model = _found(PROVIDERS.get(provider, provider), provider_model)
    if model is None:
        return None
    said = max((model.get_prices(moment) for moment in _moments(model, at)), key=_dearness)
    if not _is_counted(said):
        return None
    return {
        counted.category: _tiers(rate, counted.units_per_price)
        for name, counted in COUNTED.items()
        if (rate := getattr(said, name)) is not None
    }


def _found(provider_id: str, provider_model: str) -> "ModelInfo | None":
    """The package also guesses a provider from part of a name; we take its name or nothing."""
    from genai_prices.data import providers

    for provider in providers:
        if provider.id == provider_id:
            return provider.find_model(provider_model, all_providers=providers)
    return None


def _moments(model: "ModelInfo", at: datetime) -> list[datetime]:
    """`at`, and the same day's times at which another price begins."""
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    conditional = [] if isinstance(model.prices, ModelPrice) else model.prices
    times = [each.constraint.start_time for each in conditional if isinstance(each.constraint, TimeOfDateConstraint)]
    return [at, *(datetime.combine(at.date(), time, time.tzinfo or UTC) for time in times)]


def _dearness(rates: "ModelPrice") -> Decimal:
    """Times of day change all rates alike, so one tells."""
    match rates.input_mtok:
        case Decimal() as usd:
            return usd
        case None:
            return Decimal(0)
        case tiered:
            return tiered.base


def _is_counted(rates: "ModelPrice") -> bool:
    said = {name for name, rate in vars(rates).items() if rate is not None}
    return "input_mtok" in said and said <= COUNTED.keys() | LEFT_OUT


def _tiers(rate: "Decimal | TieredPrices", units: int) -> tuple[Tier, ...]:
    """A tier there begins above its start; here it holds from `above_prompt_tokens` on."""
    if isinstance(rate, Decimal):
        return (Tier(nanos_per_million=_rate(rate, units)),)
    higher = (Tier(nanos_per_million=_rate(tier.price, units), above_prompt_tokens=tier.start + 1) for tier in rate.tiers)
    return (Tier(nanos_per_million=_rate(rate.base, units)), *higher)


def _rate(usd: Decimal, units: int) -> int:
    """Nano-dollars per million, exactly; where the package has a binary float's tail behind the ninth decimal, rounded up."""
    return int((usd * NANOS_PER_USD * TOKENS_PER_RATE / units).to_integral_value(rounding=ROUND_CEILING))
