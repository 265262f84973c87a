"""The rules of a model."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.errors import Conflict, Invalid, NotFound
from domain.model.events import ModelConfig
from domain.model.model import PRICES_MAX, RATE_MAX
from domain.price import Category, Tier
from tests.examples import (
    MODEL_ID,
    RATES,
    TODAY,
    model_config,
    model_content,
    model_priced,
    model_published,
    model_retired,
    price,
    price_model,
    publish_model,
    retire_model,
    revise_model,
)
from tests.scenario import NOW, given

TOMORROW = NOW + timedelta(days=1)
DEARER = {Category.INPUT: (Tier(nanos_per_million=9_000_000_000),)}


def test_a_model_is_published() -> None:
    model = given().when(publish_model()).then(model_published()).state
    assert (model.version, model.config_version, model.retired, model.created_at) == (1, 1, False, NOW)
    assert model.price(NOW) is None, "an unknown price is not zero"


def test_an_id_is_published_once() -> None:
    given(model_published()).when(publish_model()).then_refused(Conflict, "Model gpt-4o already exists", param="id")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"provider_model": ""},
        {"credential_id": "no/slash"},
        {"max_output_tokens": 0},
        {"max_output_tokens": 10**9},
        {"config": {"temperature": 2.1}},
        {"config": {"timeout_ms": 0}},
    ],
)
def test_what_a_model_can_not_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model_content(**wrong)


def test_each_change_is_a_version() -> None:
    renamed = given(model_published()).when(revise_model(name="Four")).then(model_published(version=2, content=model_content(name="Four")))
    renamed.and_again().then_nothing()
    assert (renamed.state.version, renamed.state.config_version) == (2, 1)


def test_changes_of_the_configuration_are_counted_apart() -> None:
    config = ModelConfig(temperature=0.1)
    changed = given(model_published()).when(revise_model(config=config))
    changed.then(model_published(version=2, content=model_content(config=config))).and_again().then_nothing()
    assert changed.state.config_version == 2


def test_a_configuration_replaces_the_whole_one_and_an_empty_one_nothing() -> None:
    published = model_published(content=model_content(config=model_config(temperature=0.7, top_p=0.9)))
    config = given(published).when(revise_model(config=ModelConfig(top_p=0.5))).state.content.config
    assert (config.temperature, config.top_p) == (None, 0.5)
    given(published).when(revise_model(config=ModelConfig())).then_nothing()


def test_the_same_content_again_changes_nothing() -> None:
    content = model_content()
    given(model_published()).when(revise_model()).then_nothing()
    given(model_published()).when(revise_model(name=content.name, enabled=content.enabled, config=content.config)).then_nothing()


def test_other_spellings_of_a_provider_are_taken() -> None:
    published = model_published(content=model_content(provider="azure-openai"))
    assert published.content.provider == "azure_openai"
    given(published).when(revise_model(provider="azure-openai")).then_nothing()


def test_a_price_holds_from_now_and_gets_an_id() -> None:
    priced = given(model_published()).when(price_model()).then(model_priced(price=price(price_id="gpt-4o.1", effective_from=NOW)))
    priced.and_again().then_nothing()
    assert priced.state.price(NOW - timedelta(microseconds=1)) is None
    assert priced.state.price(NOW).price_id == "gpt-4o.1"


def test_a_price_never_begins_in_the_past() -> None:
    backdated = price_model(effective_from=NOW - timedelta(days=30))
    given(model_published()).when(backdated).then(model_priced(price=price(effective_from=NOW))).and_again().then_nothing()


def test_a_new_price_takes_the_place_of_the_old_one() -> None:
    past = (model_published(), model_priced(price=price(effective_from=TODAY)))
    model = (
        given(*past)
        .when(price_model(rates=DEARER))
        .then(model_priced(price=price(price_id="gpt-4o.2", rates=DEARER, effective_from=NOW)))
        .state
    )
    assert (model.price(TODAY).price_id, model.price(NOW).price_id) == ("gpt-4o.1", "gpt-4o.2")


def test_an_adopted_price_goes_with_the_providers_model_and_a_given_one_stays() -> None:
    adopted = model_priced(price=price(source="genai-prices", price_id="adopted"))
    other = model_published(version=2, content=model_content(provider_model="another"))
    unknown = given(model_published(), adopted).when(revise_model(provider_model="another")).then(other).state
    assert unknown.price(NOW) is None, "rather none than another model's"
    kept = given(model_published(), model_priced()).when(revise_model(provider_model="another")).then(other).state
    assert kept.price(NOW) == model_priced().price


def test_a_price_can_be_given_for_later() -> None:
    past = (model_published(), model_priced(price=price(effective_from=TODAY)))
    scheduled = given(*past).when(price_model(rates=DEARER, effective_from=TOMORROW))
    scheduled.and_again().then_nothing()
    assert (scheduled.state.price(NOW).price_id, scheduled.state.price(TOMORROW).price_id) == ("gpt-4o.1", "gpt-4o.2")


def test_a_price_that_says_what_will_hold_then_anyway_is_no_news() -> None:
    past = (model_published(), model_priced(price=price(effective_from=TODAY)))
    given(*past).when(price_model(effective_from=TOMORROW)).then_nothing()
    given(*past).when(price_model(source="genai-prices")).then(
        model_priced(price=price(price_id="gpt-4o.2", source="genai-prices", effective_from=NOW))
    )


def test_a_model_can_be_free() -> None:
    model = given(model_published()).when(price_model(rates={})).then(model_priced(price=price(rates={}, effective_from=NOW))).state
    assert model.price(NOW).rates == {}


def test_tiers_are_kept_in_order_and_empty_ones_dropped() -> None:
    low, high = Tier(nanos_per_million=1), Tier(nanos_per_million=2, above_prompt_tokens=100)
    model = given(model_published()).when(price_model(rates={Category.INPUT: (high, low), Category.OUTPUT: ()})).state
    assert model.price(NOW).rates == {Category.INPUT: (low, high)}


@pytest.mark.parametrize(
    "tiers",
    [
        (Tier(nanos_per_million=-1),),
        (Tier(nanos_per_million=RATE_MAX + 1),),
        (Tier(nanos_per_million=1, above_prompt_tokens=1),),
        (Tier(nanos_per_million=1, above_prompt_tokens=-1),),
        (Tier(nanos_per_million=1), Tier(nanos_per_million=2)),
        tuple(Tier(nanos_per_million=1, above_prompt_tokens=start) for start in range(17)),
    ],
)
def test_what_can_not_be_a_price(tiers: tuple[Tier, ...]) -> None:
    given(model_published()).when(price_model(rates={Category.OUTPUT: tiers})).then_refused(Invalid, param="price")


def test_prices_of_a_model_have_a_limit() -> None:
    past = [model_priced(price=price(price_id=f"{MODEL_ID}.{number}", effective_from=TODAY)) for number in range(PRICES_MAX)]
    given(model_published(), *past).when(price_model(rates=DEARER)).then_refused(Invalid, "more than 1000 prices", param="price")
    given(model_published(), *past).when(price_model(rates=RATES)).then_nothing()


def test_a_model_is_retired_once() -> None:
    given(model_published()).when(retire_model()).then(model_retired()).and_again().then_refused(NotFound)


def test_a_retired_model_is_published_again_as_the_next_version_and_without_its_prices() -> None:
    past = (model_published(), model_priced(price=price(effective_from=TODAY)), model_retired())
    published = given(*past).when(publish_model(), now=TOMORROW).then(model_published(version=2))
    model = published.state
    assert (model.retired, model.price(TOMORROW), model.created_at) == (False, None, TOMORROW)
    given(*past, model_published(version=2)).when(price_model()).then(model_priced(price=price(price_id="gpt-4o.2", effective_from=NOW)))


@pytest.mark.parametrize("ask", [revise_model, price_model, retire_model])
def test_nothing_can_be_asked_of_a_model_that_is_not_there(ask: type) -> None:
    given().when(ask()).then_refused(NotFound, "There is no model gpt-4o")
    given(model_published(), model_retired()).when(ask()).then_refused(NotFound)
