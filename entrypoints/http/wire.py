"""JSON as /admin speaks it: objects read strictly, with exact decimals; rows written with exact money."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from domain.errors import Invalid
from domain.money import nanos_of_usd, usd_text
from entrypoints.http.errors import invalid_field, malformed_json

JSON_DEPTH_MAX: Final = 64
"""Far more than any body of the contract needs."""

INTEGER_DIGITS_MAX: Final = 18
"""They fit into 64 bits, as everything that is stored must."""

Row = dict[str, Any]
Body = Mapping[str, Any]
M = TypeVar("M", bound=BaseModel)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body as an object; an absent body is an empty one."""
    raw = await request.read()
    if not raw:
        return {}
    if not _is_json(request.content_type):
        raise web.HTTPUnsupportedMediaType
    body = parse(raw)
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object")
    return body


def parse(raw: bytes) -> Any:
    """orjson judges (UTF-8, syntax, surrogates, numbers beyond all bounds); the standard library then keeps decimals exact."""
    try:
        judged = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise malformed_json() from None
    if _is_deeper(judged, JSON_DEPTH_MAX):
        raise malformed_json(f"The body is nested more than {JSON_DEPTH_MAX} levels deep")
    try:
        return json.loads(raw, parse_float=Decimal, parse_int=_whole)
    except ValueError:
        raise malformed_json(f"The body holds a whole number of more than {INTEGER_DIGITS_MAX} digits") from None


def checked(shape: type[M], fields: Body, wire_names: Mapping[str, str] | None = None) -> M:
    """`fields` as a `shape`, of which other fields are ignored. Raises Invalid, naming what is wrong as the wire does.

    By way of JSON, so that types are judged as JSON's: "1" is no number, true is none either.
    """
    known = {name: fields[name] for name in shape.model_fields if name in fields}
    try:
        return shape.model_validate_json(dump(known), strict=True)
    except ValidationError as invalid:
        raise invalid_field(invalid, wire_names) from None


def dump(row: Any) -> bytes:
    return orjson.dumps(row, default=_plain, option=orjson.OPT_UTC_Z)


def answer(row: Row, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=dump(row), status=status, content_type="application/json", headers=headers)


def usd(nanos: int) -> orjson.Fragment:
    """Dollars as a number with all its decimals, which no binary float would have."""
    return orjson.Fragment(usd_text(nanos))


def nanos_field(body: Body, name: str) -> int | None:
    """A field in dollars, as nano-dollars; None where it is absent or null."""
    match body.get(name):
        case None:
            return None
        case bool():
            raise Invalid(f"{name}: must be a number of US dollars", param=name)
        case int() | Decimal() as amount:
            try:
                return nanos_of_usd(amount)
            except ValueError as wrong:
                raise Invalid(f"{name}: {wrong}", param=name) from None
    raise Invalid(f"{name}: must be a number of US dollars", param=name)


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS_MAX:
        raise ValueError
    return int(digits)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return orjson.Fragment(str(value))
        case frozenset():
            return sorted(value)
        case BaseModel():
            return dict(value)
    raise TypeError(type(value).__name__)


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or (content_type.startswith("application/") and content_type.endswith("+json"))


def _is_deeper(value: Any, levels_max: int) -> bool:
    """Level by level, so that no depth can exhaust the stack."""
    level = [value]
    for _ in range(levels_max):
        level = [child for each in level for child in _children(each)]
    return any(isinstance(each, dict | list) for each in level)


def _children(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()
