"""A request to Bedrock is signed to the letter as botocore's own client signs it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import orjson
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from yarl import URL

from adapters.providers.bedrock_signing import Access, access, authorized, region_of
from application.ports import ChatCall
from domain.errors import Unavailable
from tests.providers.test_bedrock_request import BEDROCK, TARGET

KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI", "aws_session_token": "tok+en/="}
MODELS = [
    "amazon.nova-lite-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3d4",
]


def botocores(model: str, keys: Mapping[str, str]) -> AWSPreparedRequest:
    """What botocore's client would send."""
    sent: list[AWSPreparedRequest] = []

    class Raw:
        def stream(self) -> Any:
            yield b"{}"

    def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, Raw())

    client = boto3.session.Session(**keys, region_name="eu-west-1").client("bedrock-runtime")
    client.meta.events.register("before-send.bedrock-runtime.Converse", send)
    client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "hello"}]}])
    return sent[0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("keys", [KEYS, {name: value for name, value in KEYS.items() if name != "aws_session_token"}])
def test_address_and_signature_are_botocores_own(model: str, keys: dict[str, str]) -> None:
    theirs = botocores(model, keys)
    headers = {name.lower(): value.decode() for name, value in theirs.headers.items() if isinstance(value, bytes)}
    at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    bedrock = replace(BEDROCK, now=lambda: at)
    chat = ChatCall(body={"messages": [{"role": "user", "content": "hello"}]}, output_cap=9, stream=False)
    wire = bedrock.request(chat, replace(TARGET, provider_model=model, secret=orjson.dumps(keys).decode()))
    assert wire.url == theirs.url
    ours = authorized(wire.url, {"Content-Type": "application/json"}, theirs.body, access(orjson.dumps(keys).decode()), at)
    assert ours["Authorization"] == headers["authorization"]
    assert ours.get("X-Amz-Security-Token") == headers.get("x-amz-security-token")
    assert wire.headers["X-Amz-Date"] == headers["x-amz-date"]
    assert wire.headers["Authorization"] != ours["Authorization"]  # its body is another


@pytest.mark.parametrize("model", MODELS)
def test_an_address_that_is_sent_as_it_is_written_keeps_its_escapes(model: str) -> None:
    """Quoted anew, as addresses are by default, it would lose those that the signature covers."""
    url = BEDROCK.request(
        ChatCall(body={"messages": [{"role": "user", "content": "x"}]}, output_cap=1, stream=False), replace(TARGET, provider_model=model)
    ).url
    assert str(URL(url, encoded=True)) == url
    assert str(URL(url)) != url


def test_an_api_key_goes_as_bearer_and_nothing_goes_without_a_secret() -> None:
    chat = ChatCall(body={"messages": [{"role": "user", "content": "x"}]}, output_cap=1, stream=False)
    assert BEDROCK.request(chat, replace(TARGET, secret="ABSK-1")).headers["Authorization"] == "Bearer ABSK-1"
    assert "Authorization" not in BEDROCK.request(chat, replace(TARGET, secret="")).headers
    both = orjson.dumps({"aws_bearer_token_bedrock": "ABSK-2", "aws_region": "ap-south-1"}).decode()
    wire = BEDROCK.request(chat, replace(TARGET, secret=both, endpoint=None))
    assert wire.headers["Authorization"] == "Bearer ABSK-2"
    assert wire.url.startswith("https://bedrock-runtime.ap-south-1.")


REGIONS = [
    ("https://bedrock-runtime.eu-west-1.amazonaws.com/model/x", None, "eu-west-1"),
    ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/x", "eu-west-1", "us-gov-west-1"),
    ("https://vpce-1.bedrock-runtime.us-west-2.vpce.amazonaws.com/model/x", None, "us-west-2"),
    ("http://proxy:8080/model/x", "eu-west-3", "eu-west-3"),
    ("http://proxy:8080/model/x", None, "us-east-1"),
]


@pytest.mark.parametrize(("url", "region", "found"), REGIONS)
def test_the_region_is_the_addresss_or_the_credentials(url: str, region: str | None, found: str) -> None:
    assert region_of(url, Access(region=region)) == found


@pytest.mark.parametrize("secret", ["{", "{}", '{"aws_access_key_id": "A"}', '{"aws_access_key_id": 1, "aws_secret_access_key": 2}'])
def test_a_secret_that_names_no_keys_is_not_sent_as_a_bearer(secret: str) -> None:
    with pytest.raises(Unavailable):
        access(secret)


def test_what_is_granted_is_not_shown() -> None:
    shown = repr(access(orjson.dumps(KEYS).decode())) + repr(access("ABSK-1"))
    assert not any(secret in shown for secret in (*KEYS.values(), "ABSK-1"))
