"""Models as administrators see them, with every price since they were published."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.kernel import Recorded
from domain.model.events import ModelContent, ModelPriced, ModelPublished, ModelRetired
from domain.price import Price, in_force
from projections.entities import DELETED, KEY, LIFE, project_entities
from projections.reading import Connection, rows_of
from projections.tables import Cursor, Kinds, Row, Table, parsed

NAME: Final = "models"
EVENTS: Final[Kinds] = (ModelPublished, ModelPriced, ModelRetired)

MODELS: Final = Table("models", key=KEY, values={"content": "json", "config_version": "bigint", "prices": "json", **LIFE})
TABLES: Final = (MODELS,)


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    project_entities(MODELS, fold, batch, cursor)


def fold(model: Row | None, recorded: Recorded[Any]) -> Row | None:
    match recorded.event:
        case ModelPublished(content=content):
            return published(model, content, recorded.at)
        case ModelPriced(price=price) if model is not None and model["status"] != DELETED:
            return model | {"prices": [*parsed(model["prices"]), price.model_dump(mode="json")]}
        case ModelRetired() if model is not None and model["status"] != DELETED:
            return model | {"status": DELETED}
    return None


def published(model: Row | None, content: ModelContent, at: datetime) -> Row:
    """Published again after its end, it begins without prices; one that was adopted goes with the provider's model it was adopted for."""
    begins = model is None or model["status"] == DELETED
    before = None if model is None else ModelContent.model_validate(parsed(model["content"]))
    changed = before is None or before.config != content.config
    row: Row = {"status": "published", "created_at": at, "prices": []} if begins or model is None else model
    if before is not None and (before.provider, before.provider_model) != (content.provider, content.provider_model):
        row = row | {"prices": [price for price in parsed(row["prices"]) if price["source"] == "given"]}
    config_version = 0 if model is None else model["config_version"]
    return row | {"content": content.model_dump(mode="json"), "config_version": config_version + changed}


class Model(NamedTuple):
    id: str
    content: ModelContent
    config_version: int
    prices: tuple[Price, ...]
    status: str
    created_at: datetime
    updated_at: datetime
    version: int

    def price(self, at: datetime) -> Price | None:
        """None: unknown."""
        return in_force(self.prices, at)


async def select(connection: Connection, org: str, model_id: str | None = None) -> list[Model]:
    """All, or one."""
    return [_typed(model) for model in await rows_of(connection, MODELS, Model, org, model_id)]


def _typed(model: Model) -> Model:
    prices = tuple([Price.model_validate(price) for price in model.prices])
    return model._replace(content=ModelContent.model_validate(model.content), prices=prices)
