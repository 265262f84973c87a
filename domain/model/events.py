"""What can happen to a model. Stored: add fields with defaults, never rename or remove."""

from typing import ClassVar

from pydantic import Field

from domain.ids import CredentialId, ModelId
from domain.kernel import Event, Value
from domain.price import Price
from domain.provider import ProviderName
from domain.text import Name

OUTPUT_TOKENS_DEFAULT_MAX = 4096
IMAGE_TOKENS_DEFAULT_MAX = 2048

TOKENS_MAX = 10_000_000
"""Above any model, and money stays inside 64 bits. Like the limits below, it may be raised, never lowered: what is stored must load."""
RETRIES_MAX = 100
DURATION_MS_MAX = 24 * 60 * 60 * 1000


class ModelConfig(Value):
    """Defaults for what a request leaves unsaid, and how the provider is called."""

    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, gt=0, le=TOKENS_MAX)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    timeout_ms: int | None = Field(None, gt=0, le=DURATION_MS_MAX)
    max_retries: int | None = Field(None, ge=0, le=RETRIES_MAX)
    retry_delay_ms: int | None = Field(None, ge=0, le=DURATION_MS_MAX)
    fallback_model_id: ModelId | None = None
    drop_unsupported: bool | None = None
    """What the provider can't do is left out of the request, instead of refused."""


class ModelContent(Value):
    """A model's whole definition."""

    name: Name
    provider: ProviderName
    provider_model: Name
    credential_id: CredentialId
    enabled: bool = True
    config: ModelConfig = ModelConfig()
    max_output_tokens: int = Field(OUTPUT_TOKENS_DEFAULT_MAX, gt=0, le=TOKENS_MAX)
    """The model's own maximum."""
    image_tokens_max: int = Field(IMAGE_TOKENS_DEFAULT_MAX, ge=0, le=TOKENS_MAX)
    """What one image of a prompt can count at most."""


class ModelPublished(Event):
    topic: ClassVar[str] = "model.published.v1"

    version: int
    content: ModelContent


class ModelPriced(Event):
    topic: ClassVar[str] = "model.priced.v1"

    price: Price


class ModelRetired(Event):
    topic: ClassVar[str] = "model.retired.v1"
