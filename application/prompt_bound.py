"""How many tokens the prompt of a chat request can have at most: what a hold must cover.

A token of a BPE or SentencePiece tokenizer with byte fallback covers at least one byte of UTF-8, so text has at most as many tokens as
bytes. What chat templates and providers add to it is bounded by constants. Images are counted apart: each model has its own maximum.
"""

from typing import Any, Final

import orjson

from domain.errors import Invalid

REQUEST_TOKENS: Final = 128
"""What a template adds once: its beginning and end, a system prompt of its own, the opening of the answer."""
MESSAGE_TOKENS: Final = 16
"""What it adds to each message: marks around it and around its role."""
PART_TOKENS: Final = 4
"""What may stand between the parts of a message."""
TOOLS_TOKENS: Final = 512
"""What providers say to a model about tools, once."""
JSON_TOKENS_PER_BYTE: Final = 2
"""Templates write JSON anew, indented or escaped: each byte may bring a line break or an escape with it."""

TOOLS: Final = frozenset({"tools", "functions"})
NOT_PROMPT: Final = frozenset({"model", "logit_bias", "metadata", "stop", "stream_options", "user"})
"""Fields that no model reads. All others may end up in a prompt, unknown ones too; numbers are not text."""


def prompt_tokens_bound(body: dict[str, Any]) -> tuple[int, int]:
    """The most tokens that the text of an OpenAI chat request can have, and how many images are in it."""
    tokens, images = REQUEST_TOKENS, 0
    for name, value in body.items():
        if name == "messages" and type(value) is list:
            for message in value:
                message_tokens, message_images = _message(message)
                tokens += message_tokens
                images += message_images
        elif name not in NOT_PROMPT:
            tokens += _text(value)
            if value and name in TOOLS:
                tokens += TOOLS_TOKENS
    return tokens, images


def _message(message: Any) -> tuple[int, int]:
    if type(message) is not dict:
        return MESSAGE_TOKENS + _text(message), 0
    tokens, images = MESSAGE_TOKENS, 0
    for name, value in message.items():
        if type(value) is list and name == "content":
            for part in value:
                part_tokens, is_image = _part(part)
                tokens += part_tokens
                images += is_image
        else:
            tokens += _text(value)
    return tokens, images


def _part(part: Any) -> tuple[int, bool]:
    """Only what is an image and nothing else is spared the count of its bytes."""
    if type(part) is not dict:
        return PART_TOKENS + _text(part), False
    is_image = part.get("type") == "image_url"
    return PART_TOKENS + sum([_text(value) for name, value in part.items() if not (is_image and name == "image_url")]), is_image


def _text(value: Any) -> int:
    if type(value) is str:
        return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
    if not isinstance(value, list | dict):
        return 0
    try:
        return JSON_TOKENS_PER_BYTE * len(orjson.dumps(value))
    except TypeError:
        raise Invalid("The request is nested too deeply.") from None
