"""The providers: from the word that a model names to its translator."""

from collections.abc import Mapping
from typing import Final

from adapters.providers.openai import OpenAI
from application.ports import Provider

PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": OpenAI(cap_field="max_completion_tokens"),
    "openai_compatible": OpenAI(cap_field="max_tokens"),
    "local": OpenAI(cap_field="max_tokens"),
}
"""OpenAI's newer models refuse `max_tokens`; many compatible servers know nothing else."""
