"""Tools, and which of them may be used, in Anthropic's words."""

from collections.abc import Mapping
from typing import Any, Final

from domain.errors import Invalid

CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def tools_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """`tools` and `tool_choice`, whether they are asked for so or in the older words."""
    tools = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(said.get("tools") or ())]
    tools += [_function(function, f"functions[{index}]") for index, function in enumerate(said.get("functions") or ())]
    choice = _choice(said.get("tool_choice"), "tool_choice") or _choice(said.get("function_call"), "function_call")
    if not tools:
        if choice is not None and choice["type"] not in ("auto", "none"):
            raise Invalid("'tool_choice' needs 'tools' to choose from.", param="tool_choice")
        return {}
    alone = said.get("parallel_tool_calls") is False or bool(said.get("functions"))  # an answer holds one function_call
    if alone and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}


def _tool(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Anthropic's own tools are not offered: what they cost besides tokens has no price here."""
    if tool.get("type") != "function" or not isinstance(function := tool.get("function"), dict):
        raise Invalid(f"'{place}.type' must be function: this model's provider is offered no other tools.", param=f"{place}.type")
    return _function({"cache_control": tool.get("cache_control"), **function}, f"{place}.function")


def _function(function: Mapping[str, Any], place: str) -> dict[str, Any]:
    if not isinstance(name := function.get("name"), str) or not name:
        raise Invalid(f"'{place}.name' must be the name of a function.", param=f"{place}.name")
    parameters = function.get("parameters") or NO_PARAMETERS
    if not isinstance(parameters, dict):
        raise Invalid(f"'{place}.parameters' must be a JSON schema.", param=f"{place}.parameters")
    tool: dict[str, Any] = {"name": name, "input_schema": {"type": "object", **parameters}}
    if isinstance(description := function.get("description"), str) and description:
        tool["description"] = description
    if function.get("strict") is True:
        tool["strict"] = True
    if isinstance(mark := function.get("cache_control"), dict):
        tool["cache_control"] = mark
    return tool


def _choice(said: Any, place: str) -> dict[str, Any] | None:
    match said:
        case None:
            return None
        case str() if said in CHOICES:
            return {"type": CHOICES[said]}
        case {"type": "function", "function": {"name": str() as name}} | {"name": str() as name}:
            return {"type": "tool", "name": name}
    raise Invalid(f"'{place}' must be {', '.join(CHOICES)} or the name of a function in an object.", param=place)
