"""A chat completion request, judged field by field. What the gateway doesn't know passes through unjudged."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from domain.completion.commands import CHOICES_MAX, OUTPUT_CAP_MAX
from domain.end_user.commands import VALUE_CHARACTERS_MAX
from domain.errors import Invalid

DEPTH_MAX: Final = 128
"""Of nested objects and lists: beyond any schema of a tool, and within what orjson writes."""
SEED_MAX: Final = 2**63 - 1
ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
MAY_BE_EMPTY: Final = ("assistant", "function")
"""An assistant's message may hold calls of tools alone."""
CAP_FIELDS: Final = ("max_completion_tokens", "max_tokens")

Check = Callable[[Any], str | None]
"""None, or what the value must be."""
Wrong = tuple[str, str]
"""A field's place, and what its value must be."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    body: dict[str, Any]
    model_id: str
    output_cap: int | None
    choices: int
    stream: bool
    include_usage: bool
    end_user: str | None
    """A person's id, as the client has it."""


def parse(raw: bytes) -> ChatRequest:
    """Raises Invalid, naming the field."""
    body = json_object(raw)
    for place, rule in wrongs(body):
        raise Invalid(f"'{place}' must be {rule}.", param=place)
    if all(body.get(name) is not None for name in CAP_FIELDS):
        raise Invalid("'max_tokens' and 'max_completion_tokens' can't be given together.", param="max_tokens")
    return ChatRequest(
        body=body,
        model_id=body["model"],
        output_cap=next((body[name] for name in CAP_FIELDS if body.get(name) is not None), None),
        choices=body.get("n") or 1,
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        end_user=body.get("safety_identifier") or body.get("user") or None,
    )


def json_object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except ValueError:
        raise Invalid("The body is not valid JSON in UTF-8.", code="json_parse_error") from None
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.")
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and not within(body, DEPTH_MAX):
        raise Invalid(f"The body is nested deeper than {DEPTH_MAX} levels.", code="json_parse_error")
    return body


def within(value: Any, depth: int) -> bool:
    """Level by level, since recursion is what a nesting bomb is aimed at."""
    level = [value]
    while level:
        level = [child for node in level if isinstance(node, dict | list) for child in (node.values() if isinstance(node, dict) else node)]
        depth -= 1
        if depth < 0:
            return False
    return True


def number(low: float, high: float) -> Check:
    return lambda value: None if type(value) in (int, float) and low <= value <= high else f"a number from {low:g} to {high:g}"


def integer(low: int, high: int) -> Check:
    return lambda value: None if type(value) is int and low <= value <= high else f"an integer from {low} to {high}"


def of_type(kind: type | tuple[type, ...], rule: str) -> Check:
    return lambda value: None if isinstance(value, kind) else rule


def list_of(kind: type, rule: str) -> Check:
    return lambda value: None if isinstance(value, list) and all(isinstance(item, kind) for item in value) else rule


def either(*checks: Check) -> Check:
    def check(value: Any) -> str | None:
        rules = [check(value) for check in checks]
        return None if None in rules else " or ".join(str(rule) for rule in rules)

    return check


def identifier(value: Any) -> str | None:
    if isinstance(value, str) and len(value) <= VALUE_CHARACTERS_MAX and "\0" not in value:
        return None
    return f"a string of at most {VALUE_CHARACTERS_MAX} characters, none of them NUL"


STRING: Final = of_type(str, "a string")
BOOLEAN: Final = of_type(bool, "true or false")
OBJECT: Final = of_type(dict, "an object")
OBJECTS: Final = list_of(dict, "a list of objects")

FIELDS: Final[Mapping[str, Check]] = {
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "n": integer(1, CHOICES_MAX),
    "max_tokens": integer(1, OUTPUT_CAP_MAX),
    "max_completion_tokens": integer(1, OUTPUT_CAP_MAX),
    "seed": integer(-SEED_MAX - 1, SEED_MAX),
    "top_logprobs": integer(0, 20),
    "logprobs": BOOLEAN,
    "stream": BOOLEAN,
    "parallel_tool_calls": BOOLEAN,
    "store": BOOLEAN,
    "user": identifier,
    "safety_identifier": identifier,
    "stop": either(STRING, list_of(str, "a list of strings")),
    "stream_options": OBJECT,
    "response_format": OBJECT,
    "logit_bias": OBJECT,
    "metadata": OBJECT,
    "tools": OBJECTS,
    "functions": OBJECTS,
    "tool_choice": either(STRING, OBJECT),
}
"""Of the request itself; null means unsaid."""
MESSAGE_FIELDS: Final[Mapping[str, Check]] = {
    "name": STRING,
    "tool_call_id": STRING,
    "refusal": STRING,
    "tool_calls": OBJECTS,
    "function_call": OBJECT,
}


def wrongs(body: dict[str, Any]) -> Iterable[Wrong]:
    """All that is wrong, the most telling first; only the first is ever asked for."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield "model", "the id of a model"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages", "a list of at least one message"
    else:
        for index, message in enumerate(messages):
            if not is_plain(message):
                yield from wrongs_of_message(f"messages[{index}]", message)
    yield from checked(body, FIELDS, "")
    options = body.get("stream_options")
    if isinstance(options, dict) and not isinstance(options.get("include_usage"), bool | None):
        yield "stream_options.include_usage", "true or false"


def is_plain(message: Any) -> bool:
    """As nearly all are: a role and a text, and nothing that could be wrong."""
    return type(message) is dict and len(message) == 2 and type(message.get("content")) is str and message.get("role") in ROLES


def wrongs_of_message(place: str, message: Any) -> Iterable[Wrong]:
    if not isinstance(message, dict):
        yield place, "an object with a role and a content"
        return
    if message.get("role") not in ROLES:
        yield f"{place}.role", f"one of {', '.join(ROLES)}"
    yield from checked(message, MESSAGE_FIELDS, f"{place}.")
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            yield from wrongs_of_part(f"{place}.content[{index}]", part)
    elif not isinstance(content, str) and (content is not None or message.get("role") not in MAY_BE_EMPTY):
        yield f"{place}.content", "a string or a list of parts"


def wrongs_of_part(place: str, part: Any) -> Iterable[Wrong]:
    """Kinds of parts that the gateway doesn't know pass."""
    match part:
        case {"type": "text"} if not isinstance(part.get("text"), str):
            yield f"{place}.text", "a string"
        case {"type": "image_url"}:
            image = part.get("image_url")
            if not isinstance(image, dict) or not isinstance(image.get("url"), str):
                yield f"{place}.image_url", "an object with a url"
        case {"type": str()}:
            return
        case _:
            yield place, "an object with a type"


def checked(values: Mapping[str, Any], checks: Mapping[str, Check], prefix: str) -> Iterable[Wrong]:
    for name, value in values.items():
        if value is not None and (check := checks.get(name)) is not None and (rule := check(value)) is not None:
            yield f"{prefix}{name}", rule
