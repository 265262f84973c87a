"""Secrets from the environment."""

import pytest

from adapters.secrets.environment import Environment
from domain.credential.events import SecretSource
from domain.errors import Unavailable


async def test_a_secret_is_read_from_its_variable_at_each_use() -> None:
    variables = {"KEY": "first"}
    secrets = Environment(variables)
    assert await secrets.reveal(SecretSource(source="environment", name="KEY")) == "first"
    variables["KEY"] = "second"
    assert await secrets.reveal(SecretSource(source="environment", name="KEY")) == "second"


async def test_a_provider_that_asks_for_none_gets_none() -> None:
    assert await Environment({}).reveal(SecretSource(source="none")) == ""


@pytest.mark.parametrize("variables", [{}, {"KEY": ""}])
async def test_a_secret_that_is_not_there_is_unavailable(variables: dict[str, str]) -> None:
    with pytest.raises(Unavailable):
        await Environment(variables).reveal(SecretSource(source="environment", name="KEY"))
