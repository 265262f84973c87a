"""Partial changes: from what a command says and what is, the facts that change, and none where nothing does."""

from collections.abc import Collection, Iterator
from typing import Any

from domain.kernel import Command, Event


def said(command: Command, *, but: Collection[str], clearable: Collection[str] = ()) -> dict[str, Any]:
    """What a command says, `but` for some fields: whatever isn't None, and of what is clearable also None where it was set to that."""
    clears = command.model_fields_set.intersection(clearable)
    return {name: value for name, value in command if name not in but and (value is not None or name in clears)}


def facts(kinds: Collection[type[Event]], before: object, after: object) -> Iterator[Event]:
    """Of these kinds, whose fields are all a state's own, those that tell one state from the other."""
    for kind in kinds:
        fields = {name: getattr(after, name) for name in kind.model_fields}
        if any(getattr(before, name) != value for name, value in fields.items()):
            yield kind(**fields)
