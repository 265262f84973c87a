"""The providers: from the word that a model names to its translator."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from typing import Final

from adapters.providers.anthropic import Anthropic
from adapters.providers.azure import AzureOpenAI
from adapters.providers.bedrock import Bedrock
from adapters.providers.openai import OpenAI
from application.ports import Provider

ANSWER_ID_BYTES: Final = 12

PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": OpenAI(cap_field="max_completion_tokens"),
    "openai_compatible": OpenAI(cap_field="max_tokens"),
    "local": OpenAI(cap_field="max_tokens"),
    "anthropic": Anthropic(),
    "azure_openai": AzureOpenAI(cap_field="max_completion_tokens"),
    "aws_bedrock": Bedrock(now=partial(datetime.now, UTC), answer_id=lambda: f"chatcmpl-{token_hex(ANSWER_ID_BYTES)}"),
}
"""OpenAI's newer models refuse `max_tokens`; many compatible servers know nothing else."""
