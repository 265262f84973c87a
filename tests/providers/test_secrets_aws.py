"""AWS's default chain as a source of secrets."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.providers.bedrock_signing import access
from adapters.secrets.aws import DefaultChain
from adapters.secrets.by_source import BySource
from adapters.secrets.environment import Environment
from domain.credential.events import SecretSource
from domain.errors import Unavailable

AWS = SecretSource(source="aws")


class Keys:
    access_key, secret_key, token = "AKID", "secret", "token"


class Fresh:
    """Keys that come to an end, and are refreshed."""

    def __init__(self) -> None:
        self.looks = 0
        self.stale = True

    def refresh_needed(self) -> bool:
        return self.stale

    def get_frozen_credentials(self) -> Keys:
        self.looks += 1
        self.stale = False
        return Keys()


class Session:
    def __init__(self, credentials: Any) -> None:
        self.credentials = credentials
        self.asked = 0

    def get_credentials(self) -> Any:
        self.asked += 1
        if isinstance(self.credentials, Exception):
            raise self.credentials
        return self.credentials

    def get_config_variable(self, name: str) -> str | None:
        return {"region": "eu-north-1"}.get(name)


async def test_what_the_chain_finds_is_what_a_request_is_signed_with() -> None:
    session = Session(Fresh())
    granted = access(await DefaultChain({}, lambda: session).reveal(AWS))
    assert (granted.access_key_id, granted.secret_access_key, granted.session_token) == ("AKID", "secret", "token")
    assert granted.region == "eu-north-1"


async def test_all_who_ask_at_once_wait_for_one_look_and_fresh_keys_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.secrets.aws.LOOKED_AGAIN_AFTER_S", 0)
    keys = Fresh()
    chain = DefaultChain({}, lambda: Session(keys))
    assert len(set(await asyncio.gather(*(chain.reveal(AWS) for _ in range(20))))) == 1
    assert keys.looks == 1
    keys.stale = True
    await chain.reveal(AWS)
    assert keys.looks == 2


@pytest.mark.parametrize("nothing", [None, RuntimeError("/etc/aws is not readable")])
async def test_a_chain_that_finds_nothing_is_unavailable_and_is_not_asked_again_at_once(nothing: Any) -> None:
    session = Session(nothing)
    chain = DefaultChain({}, lambda: session)
    for _ in range(3):
        with pytest.raises(Unavailable, match="finds no credentials"):
            await chain.reveal(AWS)
    assert session.asked == 1


async def test_an_api_key_of_bedrocks_goes_before_everything_else() -> None:
    variables = {"AWS_BEARER_TOKEN_BEDROCK": "ABSK-1", "AWS_REGION": "eu-west-2"}
    granted = access(await DefaultChain(variables, lambda: pytest.fail("asked")).reveal(AWS))
    assert (granted.bearer, granted.region, granted.access_key_id) == ("ABSK-1", "eu-west-2", "")


async def test_botocore_looks_into_the_files_of_awss_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = AKIDOFFILE\naws_secret_access_key = secret-of-file\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert orjson.loads(await DefaultChain({}).reveal(AWS)) == {
        "aws_access_key_id": "AKIDOFFILE",
        "aws_secret_access_key": "secret-of-file",
        "aws_region": "eu-central-1",
    }


async def test_each_secret_is_read_where_its_source_says() -> None:
    variables = Environment({"KEY": "sk-1"})
    secrets = BySource({"environment": variables, "none": variables})
    assert await secrets.reveal(SecretSource(source="environment", name="KEY")) == "sk-1"
    assert await secrets.reveal(SecretSource(source="none")) == ""
    with pytest.raises(Unavailable):
        await secrets.reveal(AWS)
