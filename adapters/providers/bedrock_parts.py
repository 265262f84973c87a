"""The parts of a message, each told as a content block of Converse's."""

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from adapters.providers.unsupported import Unsupported
from domain.errors import Invalid

Blocks = list[dict[str, Any]]

IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
OFFICE: Final = "application/vnd.openxmlformats-officedocument"
DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    f"{OFFICE}.wordprocessingml.document": "docx",
    f"{OFFICE}.spreadsheetml.sheet": "xlsx",
}
SOUNDS: Final = {"wav": "wav", "mp3": "mp3"}

NAME_REFUSED: Final = re.compile(r"[^A-Za-z0-9()\[\]-]+", re.ASCII)
NAME_LENGTH_MAX: Final = 190
"""Ten less than Converse takes, so that equal names can be numbered."""
DEFAULT_NAME: Final = "document"


def blocks_of(content: Any, place: str, unsupported: Unsupported) -> Blocks:
    """Blank texts say nothing, and Converse refuses them."""
    if isinstance(content, str):
        return [{"text": content}] if content.strip() else []
    blocks: Blocks = []
    for index, part in enumerate(content if isinstance(content, list) else ()):
        block = _block(part, f"{place}.content[{index}]", unsupported)
        if block.get("text", "-").strip():
            blocks += [block, *cache_point(part, f"{place}.content[{index}]")]
    return blocks


def cache_point(marked: Mapping[str, Any], place: str) -> Blocks:
    """After what is marked for the cache, in the words that Anthropic's clients use."""
    match marked.get("cache_control"):
        case None:
            return []
        case {"ttl": "5m" | "1h" as ttl}:
            return [{"cachePoint": {"type": "default", "ttl": ttl}}]
        case dict() as mark if mark.get("ttl") is None:
            return [{"cachePoint": {"type": "default"}}]
        case _:
            raise wrong(f"{place}.cache_control", "an object whose ttl, if there is one, is 5m or 1h")


def wrong(place: str, rule: str) -> Invalid:
    return Invalid(f"'{place}' must be {rule}.", param=place)


def _block(part: Mapping[str, Any], place: str, unsupported: Unsupported) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str() as text} | {"type": "refusal", "refusal": str() as text}:
            return {"text": text}
        case {"type": "image_url", "image_url": {"url": str() as url} as image}:
            if image.get("detail") not in (None, "auto"):
                unsupported.leave_out("messages.content.image_url.detail")
            return {"image": _image(url, f"{place}.image_url.url")}
        case {"type": "file", "file": dict() as file}:
            return {"document": _document(file, f"{place}.file")}
        case {"type": "input_audio", "input_audio": {"data": str() as content, "format": str() as kind}} if kind in SOUNDS:
            return {"audio": {"format": SOUNDS[kind], "source": {"bytes": _whole(content, f"{place}.input_audio.data")}}}
    raise wrong(place, "a text, an image, a file, or sound in wav or mp3: this model's provider takes nothing else")


def _image(url: str, place: str) -> dict[str, Any]:
    """Not by address: Bedrock fetches none, and the gateway doesn't either."""
    media_type, content = of_data_url(url)
    if media_type not in IMAGES:
        raise wrong(place, "a data URL in base64 of a PNG, JPEG, GIF or WebP image: this model's provider does not fetch images")
    return {"format": IMAGES[media_type], "source": {"bytes": _whole(content, place)}}


def _document(file: Mapping[str, Any], place: str) -> dict[str, Any]:
    if file.get("file_id") is not None:
        raise wrong(
            f"{place}.file_id", "left out, and the file be given in file_data: this model's provider can't see other providers' files"
        )
    place = f"{place}.file_data"
    written = file.get("file_data")
    media_type, content = of_data_url(written) if isinstance(written, str) else ("", "")
    if media_type not in DOCUMENTS:
        raise wrong(place, f"a data URL in base64 of a document ({', '.join(DOCUMENTS.values())})")
    return {"format": DOCUMENTS[media_type], "name": _name(file.get("filename")), "source": {"bytes": _whole(content, place)}}


def _name(filename: Any) -> str:
    """Converse takes few characters, and no ending, since the format says it."""
    stem = filename.rpartition(".")[0] or filename if isinstance(filename, str) else ""
    return NAME_REFUSED.sub(" ", stem).strip()[:NAME_LENGTH_MAX] or DEFAULT_NAME


def of_data_url(url: str) -> tuple[str, str]:
    """Its media type and its content, still in base64; both empty where it is none."""
    head, _, content = url.partition(",")
    scheme, _, described = head.partition(":")
    media_type, *parameters = described.lower().split(";")
    return (media_type.strip(), content) if scheme.lower() == "data" and "base64" in parameters else ("", "")


def _whole(content: str, place: str) -> str:
    """Bytes travel as base64 here and there alike, so they are only looked at."""
    try:
        if binascii.a2b_base64(content.encode(), strict_mode=True):
            return content
    except (binascii.Error, UnicodeEncodeError):
        pass
    raise wrong(place, "in base64, and not empty")
