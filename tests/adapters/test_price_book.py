"""Adopted prices cost what genai-prices itself says."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as PackageUsage
from genai_prices.data import providers

from adapters.price_book import rates
from domain.money import NANOS_PER_USD
from domain.price import PROMPT, Category, Price, Rates, Usage, cost_lines, cost_nanos

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

SHORT: Usage = {Category.INPUT: 1_000, Category.OUTPUT: 300}
CACHED: Usage = {Category.INPUT: 2_000, Category.CACHED_INPUT: 1_500, Category.CACHE_WRITE: 700, Category.OUTPUT: 40}
AT_A_TIER: Usage = {Category.INPUT: 200_000, Category.OUTPUT: 1_000}
ABOVE_A_TIER: Usage = {Category.INPUT: 200_001, Category.OUTPUT: 1_000}


def test_known_models_have_the_published_rates() -> None:
    gpt_4o = rates("openai", "gpt-4o", NOON)
    assert gpt_4o is not None
    assert {category: [tier.nanos_per_million for tier in tiers] for category, tiers in gpt_4o.items()} == {
        Category.INPUT: [2_500_000_000],
        Category.CACHED_INPUT: [1_250_000_000],
        Category.OUTPUT: [10_000_000_000],
    }


def test_azure_and_bedrock_are_found_by_our_names() -> None:
    assert rates("azure_openai", "gpt-4o", NOON) is not None
    assert rates("aws_bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", NOON) is not None


@pytest.mark.parametrize(
    ("provider", "provider_model"),
    [
        ("openai", "no-such-model"),
        ("local", "gpt-4o"),  # not OpenAI's, whatever it is called
        ("openai-compatible", "gpt-4o"),
        ("openai", "whisper-1"),  # by the hour
        ("openai", "gpt-image-1"),  # image tokens cost more than text, and usage doesn't tell them apart here
    ],
)
def test_what_is_not_known_for_certain_is_unknown(provider: str, provider_model: str) -> None:
    assert rates(provider, provider_model, NOON) is None


def test_a_request_fee_per_thousand_is_kept_exactly() -> None:
    sonar = rates("perplexity", "sonar", NOON)
    assert sonar is not None
    (fee,) = sonar[Category.REQUEST]
    assert cost_nanos(cost_lines({}, as_price(sonar))) == fee.nanos_per_million // 1_000_000
    assert Decimal(fee.nanos_per_million) / 1_000_000 / NANOS_PER_USD * 1_000 == Decimal(12)


def test_where_the_time_of_day_matters_the_dearest_is_adopted() -> None:
    at_night = rates("deepseek", "deepseek-reasoner", datetime(2026, 11, 20, 23, tzinfo=UTC))
    at_day = rates("deepseek", "deepseek-reasoner", NOON)
    assert at_night is not None
    assert at_night == at_day


@pytest.mark.parametrize("usage", [SHORT, CACHED, AT_A_TIER, ABOVE_A_TIER], ids=["short", "cached", "at a tier", "above a tier"])
def test_every_adopted_price_costs_what_the_package_says(usage: Usage) -> None:
    adopted = 0
    for provider in providers:
        for model in provider.models:
            ours = rates(provider.id, model.id, NOON)
            if ours is None or (found := provider.find_model(model.id, all_providers=providers)) is None or _by_time_of_day(found):
                continue
            said = found.calc_price(_for_the_package(usage), provider, genai_request_timestamp=NOON).total_price * NANOS_PER_USD
            cost = cost_nanos(cost_lines(usage, as_price(ours)))
            assert abs(cost - said) <= 1, (provider.id, model.id, cost, said)
            adopted += 1
    assert adopted > 1_000


def as_price(adopted: Rates) -> Price:
    return Price(price_id="1", source="genai-prices", rates=adopted)


def _for_the_package(usage: Usage) -> PackageUsage:
    """There, input includes what was cached."""
    return PackageUsage(
        input_tokens=sum(usage.get(category, 0) for category in PROMPT),
        cache_read_tokens=usage.get(Category.CACHED_INPUT, 0),
        cache_write_tokens=usage.get(Category.CACHE_WRITE, 0),
        output_tokens=usage.get(Category.OUTPUT, 0),
    )


def _by_time_of_day(model: object) -> bool:
    return "TimeOfDateConstraint" in repr(model)
