"""Identifiers. A slug is 1 to 50 letters, digits and hyphens, and begins and ends with a letter or digit."""

import re
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

ORG_DEFAULT = "main"
UUID7_RANDOM_BYTES = 10


class Slug(str):
    """An identifier that people choose; teaches its rule to pydantic."""

    __slots__ = ()
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?", re.ASCII)
    rule: ClassVar[str] = "1 to 50 letters, digits and hyphens, beginning and ending with a letter or digit"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with the rule when `text` breaks it."""
        if not cls.pattern.fullmatch(text):
            raise ValueError(f"must be {cls.rule}")
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """All of it in pydantic's own core, since every event has several of these. Its patterns search, so this one is anchored."""
        text = core_schema.str_schema(pattern=rf"\A(?:{cls.pattern.pattern})\z")
        parsed = core_schema.no_info_after_validator_function(cls, text)
        either = core_schema.union_schema([core_schema.is_instance_schema(cls), parsed], mode="left_to_right")
        return core_schema.json_or_python_schema(cls._explained(parsed), cls._explained(either))

    @classmethod
    def _explained(cls, schema: CoreSchema) -> CoreSchema:
        return core_schema.custom_error_schema(schema, "slug", custom_error_message=f"must be {cls.rule}")


class TeamId(Slug):
    __slots__ = ()


class ApiKeyId(Slug):
    __slots__ = ()


class ModelId(Slug):
    __slots__ = ()


class CredentialId(Slug):
    __slots__ = ()
    pattern = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,48}[A-Za-z0-9_])?", re.ASCII)
    rule = "1 to 50 letters, digits, hyphens and underscores, neither beginning nor ending with a hyphen"


class BudgetId(Slug):
    __slots__ = ()
    pattern = re.compile(r"[A-Za-z0-9_-]{1,50}", re.ASCII)
    rule = "1 to 50 letters, digits, hyphens and underscores"


class CompletionId(Slug):
    """A UUIDv7 in its usual text form."""

    __slots__ = ()


class ProcessId(Slug):
    """A UUIDv7 in its usual text form, minted at each start of a process."""

    __slots__ = ()


class RefusalId(Slug):
    """A UUIDv7 in its usual text form, of one report."""

    __slots__ = ()


class EndUserId(Slug):
    """A UUIDv7: what the log knows a person by."""

    __slots__ = ()
    pattern = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
    rule = "a UUID in its usual text form"


def uuid7(unix_ms: int, random: bytes) -> UUID:
    """RFC 9562 §5.7: 48 bits of milliseconds, then 74 random bits. `random` holds UUID7_RANDOM_BYTES bytes."""
    noise = int.from_bytes(random, "big")
    rand_a, rand_b = noise >> 62 & 0xFFF, noise & (1 << 62) - 1
    return UUID(int=(unix_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)
