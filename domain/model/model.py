"""The rules of a model."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.model.events import ModelContent
from domain.price import Price, in_force
from domain.state import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    content: ModelContent
    version: int
    config_version: int
    """Counts the changes of `content.config` alone."""
    prices: tuple[Price, ...]
    retired: bool
    created_at: datetime
    updated_at: datetime
    readable: bool = True

    def price(self, at: datetime) -> Price | None:
        """None: unknown."""
        return in_force(self.prices, at)


MODELS: Final = Kind[str, Model]("model")
