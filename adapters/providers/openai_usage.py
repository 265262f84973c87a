"""What a chat completion used: OpenAI's report in the ledger's categories, and a count of what was seen where none came."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from domain.price import Category

TOKENS_MAX: Final = 1_000_000_000
"""No call uses more; a report that says so is no report."""
RAW_BYTES_MAX: Final = 4 * 1024
"""A report is kept verbatim up to this length: it becomes part of an event."""
BYTES_PER_TOKEN: Final = 4
DEPTH_MAX: Final = 16
NOT_TEXT: Final = frozenset({"role", "id", "type", "index"})

TOTALS: Final = (
    ("prompt_tokens", Category.INPUT, "prompt_tokens_details"),
    ("completion_tokens", Category.OUTPUT, "completion_tokens_details"),
)
"""A total, the category of what remains of it, and where its parts stand."""
PARTS: Final = {
    "prompt_tokens": (("cached_tokens", Category.CACHED_INPUT), ("audio_tokens", Category.INPUT_AUDIO)),
    "completion_tokens": (("audio_tokens", Category.OUTPUT_AUDIO),),
}
"""The parts that have categories of their own."""


def categories(report: Any) -> dict[str, int] | None:
    """Disjoint; None where the report can't be understood. Parts never add up to more than their total."""
    if not isinstance(report, dict):
        return None
    used: dict[str, int] = {}
    for total_name, category, details_name in TOTALS:
        remaining = _count(report, total_name)
        if remaining is None:
            return None
        details = report.get(details_name)
        if isinstance(details, dict):
            for name, part_category in PARTS[total_name]:
                part = min(_count(details, name) or 0, remaining)
                if part:
                    used[part_category] = part
                    remaining -= part
        if remaining:
            used[category] = remaining
    return used


def verbatim(report: Any) -> dict[str, Any] | None:
    """The report itself, unless it is too large to be kept."""
    try:
        return report if isinstance(report, dict) and len(orjson.dumps(report)) <= RAW_BYTES_MAX else None
    except TypeError:
        return None


def tokens_seen(delta: Any, depth: int = DEPTH_MAX) -> int:
    """About how many tokens a delta carries, rather too many: its texts (tool calls and reasoning too) at four bytes each, rounded up."""
    seen = 0
    match delta:
        case str():
            length = len(delta) if delta.isascii() else len(delta.encode())
            return -(-length // BYTES_PER_TOKEN)
        case dict() if depth:
            for name, value in delta.items():
                if value and name not in NOT_TEXT:
                    seen += tokens_seen(value, depth - 1)
        case list() if depth:
            for value in delta:
                seen += tokens_seen(value, depth - 1)
    return seen


def _count(report: Mapping[str, Any], name: str) -> int | None:
    value = report.get(name)
    return value if type(value) is int and 0 <= value <= TOKENS_MAX else None
