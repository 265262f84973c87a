"""What can be asked of a model."""

from typing import Literal

from pydantic import Field

from domain.ids import CredentialId, ModelId
from domain.kernel import Command
from domain.model.events import TOKENS_MAX, ModelConfig, ModelContent
from domain.price import Rates
from domain.provider import ProviderName
from domain.text import Name
from domain.time import Moment


class PublishModel(Command):
    """A new one."""

    model_id: ModelId
    content: ModelContent


class ReviseModel(Command):
    """What is None stays as it is. A `config` replaces the whole one, and an empty one changes nothing."""

    model_id: ModelId
    name: Name | None = None
    provider: ProviderName | None = None
    provider_model: Name | None = None
    credential_id: CredentialId | None = None
    enabled: bool | None = None
    config: ModelConfig | None = None
    max_output_tokens: int | None = Field(None, gt=0, le=TOKENS_MAX)
    image_tokens_max: int | None = Field(None, ge=0, le=TOKENS_MAX)


class PriceModel(Command):
    """Without rates it is free. A price never begins in the past: `effective_from` None, or a moment gone by, is now."""

    model_id: ModelId
    source: Literal["given", "genai-prices"]
    rates: Rates = {}
    effective_from: Moment | None = None


class RetireModel(Command):
    model_id: ModelId
