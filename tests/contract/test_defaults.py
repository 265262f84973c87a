"""Fields that equal their default aren't stored: a changed default would change the past."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from domain.deciders import EVENT_OF_TOPIC

DEFAULTS = Path(__file__).parent / "defaults.json"
"""By class. Add what is new; never change what stands there."""


def test_no_stored_default_ever_changes() -> None:
    assert present_defaults() == json.loads(DEFAULTS.read_text())


def present_defaults() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in EVENT_OF_TOPIC.values():
        enter(event, found)
    return dict(sorted(found.items()))


def enter(model: type[BaseModel], found: dict[str, dict[str, Any]]) -> None:
    name = f"{model.__module__}.{model.__name__}"
    if name in found:
        return
    found[name] = {
        field: to_jsonable_python(info.get_default(call_default_factory=True, validated_data={}))
        for field, info in model.model_fields.items()
        if not info.is_required()
    }
    for info in model.model_fields.values():
        for part in parts(info.annotation):
            enter(part, found)


def parts(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in getattr(annotation, "__args__", ()) for part in parts(argument)]
