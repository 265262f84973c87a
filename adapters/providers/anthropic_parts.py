"""The parts of a message, each told as a content block of Anthropic's."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from adapters.providers.unsupported import Unsupported
from domain.errors import Invalid

Blocks = list[dict[str, Any]]

IMAGES: Final = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}
PDF: Final = "application/pdf"
PDF_BEGINS: Final = "JVBER"
"""`%PDF` in base64."""


def blocks_of(content: Any, place: str, unsupported: Unsupported) -> Blocks:
    """Texts of white space alone say nothing, and Anthropic refuses them."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}] if isinstance(content, str) else []
    blocks = [_block(part, f"{place}.content[{index}]", unsupported) for index, part in enumerate(parts)]
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]


def text_blocks(content: Any, place: str) -> Blocks:
    """Of a system prompt, which is text alone."""
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(part, dict) or part.get("type") != "text":
            _refuse(f"{place}.content[{index}]", "text: this model's provider takes nothing else as a system prompt")
    return blocks_of(content, place, Unsupported(drop=False))


def _block(part: Mapping[str, Any], place: str, unsupported: Unsupported) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str() as text}:
            block: dict[str, Any] = {"type": "text", "text": text}
        case {"type": "refusal", "refusal": str() as text}:
            block = {"type": "text", "text": text}
        case {"type": "image_url", "image_url": dict() as image}:
            block = {"type": "image", "source": _image(image["url"], f"{place}.image_url.url")}
            if image.get("detail") not in (None, "auto"):
                unsupported.leave_out("messages.content.image_url.detail")
        case {"type": "file", "file": dict() as file}:
            block = _document(file, f"{place}.file")
        case _:
            _refuse(place, "a text, an image or a file: this model's provider takes nothing else")
    if isinstance(mark := part.get("cache_control"), dict):
        block["cache_control"] = mark
    return block


def _image(url: str, place: str) -> dict[str, Any]:
    if url.lower().startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    media_type, content = _of_data_url(url)
    if media_type not in IMAGES or not content:
        _refuse(place, "an http URL, or a data URL in base64 of a JPEG, PNG, GIF or WebP image")
    return {"type": "base64", "media_type": IMAGES[media_type], "data": content}


def _document(file: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Not by address: how much it costs could not be known before."""
    if file.get("file_id") is not None:
        _refuse(f"{place}.file_id", "left out, and the file be given in file_data: this model's provider can't see other providers' files")
    written = file.get("file_data")
    media_type, content = _of_data_url(written) if isinstance(written, str) else ("", "")
    if isinstance(written, str) and not media_type and written.startswith(PDF_BEGINS):
        media_type, content = PDF, written
    if media_type == PDF and content:
        source = {"type": "base64", "media_type": PDF, "data": content}
    elif media_type.startswith("text/") and content:
        source = {"type": "text", "media_type": "text/plain", "data": _text(content, f"{place}.file_data")}
    else:
        _refuse(f"{place}.file_data", "a data URL in base64 of a PDF or of a text")
    named = {"title": name} if isinstance(name := file.get("filename"), str) and name else {}
    return {"type": "document", "source": source, **named}


def _of_data_url(url: str) -> tuple[str, str]:
    """Its media type and its content, still in base64; both empty where it is none."""
    head, _, content = url.partition(",")
    scheme, _, described = head.partition(":")
    media_type, *parameters = described.lower().split(";")
    if scheme.lower() != "data" or "base64" not in parameters:
        return "", ""
    return media_type.strip(), content


def _text(content: str, place: str) -> str:
    try:
        return b64decode(content).decode()
    except (binascii.Error, ValueError):
        _refuse(place, "text in UTF-8, in base64")


def _refuse(place: str, rule: str) -> NoReturn:
    raise Invalid(f"'{place}' must be {rule}.", param=place)
