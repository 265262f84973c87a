"""Models and what they cost: given, adopted, free, or unknown and said to be."""

from typing import Any

import pytest

from domain.model.model import MODELS
from domain.price import Category
from tests.http.conftest import Gateway


@pytest.fixture
async def credential(gateway: Gateway) -> str:
    body = {"id": "for-models", "name": "C", "credential_type": "openai", "api_key_env": "OPENAI_API_KEY"}
    await gateway.ask("POST", "/admin/credentials", body)
    return "for-models"


def model(model_id: str, credential_id: str, **more: Any) -> dict[str, Any]:
    return {"id": model_id, "name": "M", "provider": "openai", "provider_model": "gpt-4o", "credential_id": credential_id} | more


async def test_a_known_models_price_is_adopted(gateway: Gateway, credential: str) -> None:
    made = await gateway.done("POST", "/admin/models", model("adopted", credential))
    price = made["price"]
    assert (made["price_source"], price["input_usd_per_million"], price["output_usd_per_million"]) == ("genai-prices", 2.5, 10.0)
    assert (price["cached_input_usd_per_million"], made["max_output_tokens"]) == (1.25, 4096)
    assert "warning" not in made
    assert (made["config_version"], made["enabled"], made["config"]["temperature"]) == (1, True, None)
    assert "timeout_ms" not in made["config"]
    assert await gateway.done("GET", "/admin/models/adopted") == made


async def test_longer_prompts_may_cost_more(gateway: Gateway, credential: str) -> None:
    made = await gateway.done("POST", "/admin/models", model("tiered", credential, provider="google", provider_model="gemini-2.5-pro"))
    (longer,) = made["price"]["longer_prompts"]
    assert (longer["from_prompt_tokens"], longer["output_usd_per_million"]) == (200_001, 15.0)


async def test_an_unknown_price_is_a_warning_and_never_zero(gateway: Gateway, credential: str) -> None:
    made = await gateway.done("POST", "/admin/models", model("unpriced", credential, provider_model="in-house"))
    assert (made["price"], made["price_source"]) == (None, "unknown")
    assert "price" in made["warning"]
    priced = await gateway.done("PUT", "/admin/models/unpriced", {"price": "free"})
    assert (priced["price"], priced["price_source"]) == ("free", "given")
    assert "warning" not in priced


async def test_a_given_price_is_exact(gateway: Gateway, credential: str) -> None:
    raw = (
        b'{"id":"given","name":"M","provider":"openai","provider_model":"gpt-4o","credential_id":"for-models",'
        b'"price":{"input_usd_per_million":0.000000001,"output_usd_per_million":0.57,"cached_input_usd_per_million":0}}'
    )
    answer = await gateway.ask("POST", "/admin/models", raw)
    assert b'"input_usd_per_million":0.000000001,' in answer.raw
    kept = gateway.log.view.get(MODELS, "given")
    assert kept is not None
    rates = {category: [tier.nanos_per_million for tier in tiers] for category, tiers in kept.prices[-1].rates.items()}
    assert rates == {Category.INPUT: [1], Category.CACHED_INPUT: [0], Category.OUTPUT: [570_000_000]}


async def test_a_price_may_begin_later(gateway: Gateway, credential: str) -> None:
    await gateway.done("POST", "/admin/models", model("later", credential))
    later = {"input_usd_per_million": 1, "output_usd_per_million": 2, "effective_from": "2999-01-01T00:00:00Z"}
    still = await gateway.done("PUT", "/admin/models/later", {"price": later})
    assert still["price_source"] == "genai-prices"
    bad = await gateway.ask("PUT", "/admin/models/later", {"price": later | {"effective_from": "then"}})
    assert bad.error["param"] == "price"


async def test_an_adopted_price_goes_with_its_model_and_a_given_one_stays(gateway: Gateway, credential: str) -> None:
    await gateway.done("POST", "/admin/models", model("moved", credential))
    mini = await gateway.done("PUT", "/admin/models/moved", {"provider_model": "gpt-4o-mini"})
    assert mini["price"]["input_usd_per_million"] == 0.15
    await gateway.done("PUT", "/admin/models/moved", {"price": {"input_usd_per_million": 7, "output_usd_per_million": 7}})
    back = await gateway.done("PUT", "/admin/models/moved", {"provider_model": "gpt-4o"})
    assert (back["price_source"], back["price"]["input_usd_per_million"]) == ("given", 7.0)


async def test_a_config_is_replaced_whole_and_an_empty_one_changes_nothing(gateway: Gateway, credential: str) -> None:
    await gateway.done("POST", "/admin/models", model("configured", credential, config={"temperature": 0.5, "timeout_ms": 100}))
    changed = await gateway.done("PUT", "/admin/models/configured", {"config": {"temperature": 1}, "provider": "openai"})
    assert (changed["config"]["temperature"], changed["config_version"]) == (1.0, 2)
    assert "timeout_ms" not in changed["config"]
    same = await gateway.done("PUT", "/admin/models/configured", {"config": {}})
    assert (same["config"], same["config_version"]) == (changed["config"], 2)


async def test_a_repeated_publication_is_done_once(gateway: Gateway, credential: str) -> None:
    once = {"Idempotency-Key": "publish"}
    first = await gateway.ask("POST", "/admin/models", model("once", credential), headers=once)
    position = gateway.log.position
    again = await gateway.ask("POST", "/admin/models", model("once", credential), headers=once)
    assert (again.status, again.json, gateway.log.position) == (200, first.json, position)


async def test_a_retired_model_is_gone_and_its_id_free(gateway: Gateway, credential: str) -> None:
    await gateway.done("POST", "/admin/models", model("gone", credential))
    assert (await gateway.ask("POST", "/admin/models", model("gone", credential))).status == 409
    assert await gateway.done("DELETE", "/admin/models/gone") == {"deleted": True, "id": "gone"}
    assert (await gateway.ask("GET", "/admin/models/gone")).status == 404
    await gateway.done("POST", "/admin/models", model("gone", credential))
