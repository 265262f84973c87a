"""Whatever a client may ask for, Bedrock is asked in its own words or the client is told what is wrong; nothing else happens."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import orjson

from application.ports import ChatCall
from domain.errors import Invalid
from entrypoints.http.chat_request import parse
from tests.providers.bedrock_wire import taken
from tests.providers.test_bedrock_request import BEDROCK, CALL, PDF, PNG, SONNET, TARGET, WEATHER

ROUNDS = 2_000
WORDS = ("", " ", "a", "weather", "call_1", "{}", '{"a": 1}', "[1]", "none", "high", f"data:image/png;base64,{PNG}")
MODELS = (SONNET, "us.amazon.nova-2-lite-v1:0", "openai.gpt-oss-20b-1:0")

Make = Callable[[Random], Any]


def one_of(*makers: Any) -> Make:
    def make(random: Random) -> Any:
        chosen = random.choice(makers)
        return chosen(random) if callable(chosen) else chosen

    return make


def some_of(most: int, maker: Make) -> Make:
    return lambda random: [maker(random) for _ in range(random.randint(0, most))]


def of(**fields: Any) -> Make:
    """A field is there or not; a maker makes its value, or it is always the same."""
    return lambda random: {
        name: value(random) if callable(value) else value
        for name, value in fields.items()
        if name in ("role", "type") or random.random() < 0.5
    }


WORD = one_of(*WORDS)
ODD = one_of(WORD, WORD, None, True, 0, 1.5, [], ["a"], {}, {"a": "b"})
MARK = one_of({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, ODD)
FUNCTION = one_of(WEATHER["function"], of(name=WORD, arguments=ODD, description=ODD, parameters=ODD, strict=ODD, cache_control=MARK))
PART = one_of(
    {"type": "text", "text": "a"},
    {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
    of(type="text", text=WORD, cache_control=MARK),
    of(type="image_url", image_url=of(url=WORD, detail=ODD), cache_control=MARK),
    of(type="file", file=of(file_data=ODD, filename=ODD, file_id=ODD)),
    of(type="input_audio", input_audio=of(data=ODD, format=WORD)),
    of(type="novel"),
)
THOUGHT = one_of({"type": "thinking", "thinking": "a", "signature": "b"}, {"type": "redacted_thinking", "data": PNG}, ODD)
MESSAGE = of(
    role=one_of("system", "user", "user", "assistant", "assistant", "tool", "function"),
    content=one_of("a", WORD, some_of(3, PART)),
    tool_calls=some_of(2, one_of(CALL, of(id=ODD, type="function", function=FUNCTION))),
    function_call=FUNCTION,
    tool_call_id=one_of("call_1", WORD),
    thinking_blocks=some_of(1, THOUGHT),
    cache_control=MARK,
)
BODY = of(
    tools=some_of(2, one_of(WEATHER, of(type="function", function=FUNCTION, cache_control=MARK))),
    tool_choice=one_of("auto", "none", "required", {"type": "function", "function": {"name": "weather"}}, ODD),
    function_call=ODD,
    response_format=one_of({"type": "text"}, {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}, ODD),
    reasoning_effort=one_of("low", "high", "none", ODD),
    stop=one_of("a", ["a"], ODD),
    temperature=one_of(0, 1, 2),
    service_tier=one_of("auto", ODD),
    top_k=5,
    thinking={"type": "disabled"},
)


def test_a_request_is_translated_or_refused() -> None:
    random, outcomes = Random(5), Counter[str]()
    for _ in range(ROUNDS):
        body = {"model": "mine", "messages": [MESSAGE(random) for _ in range(random.randint(1, 3))]}
        if random.random() < 0.5:
            body |= BODY(random)
        outcomes[outcome(body, random.choice(MODELS), drop=random.random() < 0.5)] += 1
    assert min(outcomes["translated"], outcomes["refused"]) > ROUNDS / 20, outcomes


def outcome(body: dict[str, Any], model: str, *, drop: bool) -> str:
    try:
        asked = parse(orjson.dumps(body)).body
    except Invalid:
        return "no request"
    before = orjson.dumps(asked)
    try:
        wire = BEDROCK.request(
            ChatCall(body=asked, output_cap=2_000, stream=False), replace(TARGET, provider_model=model, drop_unsupported=drop)
        )
    except Invalid:
        return "refused"
    taken(wire.body)
    assert orjson.dumps(asked) == before
    return "translated"
