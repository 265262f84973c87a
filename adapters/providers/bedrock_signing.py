"""How a request to Bedrock shows who sends it: Signature Version 4 with AWS's keys, or an API key as bearer. Pure: the time is given."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from domain.errors import Unavailable

SIGNED_NAME: Final = "bedrock"
REGION_DEFAULT: Final = "us-east-1"
REGION_IN_HOST: Final = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


@dataclass(frozen=True, slots=True)
class Access:
    """What a credential's secret grants. Without an access key it is an API key, or nothing."""

    bearer: str = field(default="", repr=False)
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None


def access(secret: str) -> Access:
    """A secret is an API key, or a JSON object with AWS's own names. Raises Unavailable for one that is neither."""
    if not secret.lstrip().startswith("{"):
        return Access(bearer=secret)
    try:
        said = orjson.loads(secret)
    except ValueError:
        said = {}
    match said:
        case {"aws_access_key_id": str() as key, "aws_secret_access_key": str() as secret_key}:
            return Access("", key, secret_key, _text(said, "aws_session_token"), _text(said, "aws_region"))
        case {"aws_bearer_token_bedrock": str() as bearer}:
            return Access(bearer, region=_text(said, "aws_region"))
    raise Unavailable("The credential's secret names no AWS access key.")


def region_of(url: str, granted: Access) -> str:
    named = REGION_IN_HOST.search(url)
    return named[1] if named else granted.region or REGION_DEFAULT


def authorized(url: str, headers: dict[str, str], body: bytes, granted: Access, at: datetime) -> dict[str, str]:
    """The headers, with what shows who sends them."""
    if granted.access_key_id:
        return _signed(url, headers, body, granted, at)
    return {**headers, "Authorization": f"Bearer {granted.bearer}"} if granted.bearer else headers


def _signed(url: str, headers: dict[str, str], body: bytes, granted: Access, at: datetime) -> dict[str, str]:
    """Step by step, since botocore's own `add_auth` reads the machine's clock."""
    keys = ReadOnlyCredentials(granted.access_key_id, granted.secret_access_key, granted.session_token)
    signer = SigV4Auth(keys, SIGNED_NAME, region_of(url, granted))
    moment = at.strftime(SIGV4_TIMESTAMP)
    token = {"X-Amz-Security-Token": granted.session_token} if granted.session_token else {}
    request = AWSRequest("POST", url, {**headers, **token, "X-Amz-Date": moment}, body)
    request.context["timestamp"] = moment
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    authorization = f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"
    return {**dict(request.headers.items()), "Authorization": authorization}


def _text(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) and value else None
