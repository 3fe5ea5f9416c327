"""Owns finding tools whose names, or whose arguments' names, a format has no way to write."""

from __future__ import annotations

from itertools import islice

from app.chat.tool_formats.base import ToolFormat, ToolSpec
from app.chat.tool_formats.syntax.parameters import names_by_object, parameters_of

_MAX_OBJECTS = 256  # that are looked at: schemas refer to each other and to themselves


def refusal(known: ToolFormat, tool: ToolSpec) -> tuple[str, str] | None:
    """Return why a tool cannot be called in a format; None where it can.

    It is the field of OpenAI's `function` that is at fault, and what is wrong with it.
    """
    where = f"cannot be called in the tool format {known.name}"
    if tool.name in known.taken:
        return "name", f"a tool named '{tool.name}' {where}"
    names = known.names
    if not names.ends:
        return None
    objects = names_by_object(parameters_of(tool.parameters), names.n_nested, names.around)
    for beside, around in islice(objects, _MAX_OBJECTS):
        name = names.unclear(beside, around)
        if name is not None:
            return "parameters", f"a tool with an argument named {name!r} {where}"
    return None
