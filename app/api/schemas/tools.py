"""Owns the schemas of `tools` and `tool_choice`; must not know handlers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from app.api.schemas.common import Lenient
from app.api.schemas.json_schema import ShallowSchema, json_text
from app.protocol import ToolChoice
from app.web.validation import field_error

MAX_TOOLS = 512
MAX_TOOL_SCHEMA_BYTES = 512 * 1024

# ---------------------------------------------------------------- what is offered


class FunctionDefinition(BaseModel):
    """A function the model may call; without `parameters` it has none."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,128}$")]
    description: str | None = None
    parameters: ShallowSchema | None = None
    strict: Annotated[bool, Field(strict=True)] | None = Field(
        None, description="Refuse a schema with keywords that cannot be enforced."
    )

    @field_validator("parameters")
    @classmethod
    def _are_an_object(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value and value.get("type", "object") != "object":
            raise ValueError('the type of parameters must be "object"')
        return value


class ToolDefinition(BaseModel):
    """A tool the model may use."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"] | None = "function"
    function: FunctionDefinition


def check_tools(tools: list[ToolDefinition]) -> None:
    """Check that names are unique, and the total size of the schemas.

    Raises:
        PydanticCustomError: a name is repeated, or the schemas are too large.
    """
    seen: set[str] = set()
    n_bytes = 0
    for index, tool in enumerate(tools):
        function = tool.function
        if function.name in seen:
            where = f"tools[{index}].function.name"
            raise field_error(where, f"duplicate tool name '{function.name}'")
        seen.add(function.name)
        n_bytes += _schema_bytes(function.parameters or {}, index)
    if n_bytes > MAX_TOOL_SCHEMA_BYTES:
        limit = f"the schemas of all tools may have at most {MAX_TOOL_SCHEMA_BYTES} bytes in total"
        raise field_error("tools", f"{limit}, not {n_bytes}")


def _schema_bytes(parameters: dict[str, Any], index: int) -> int:
    try:
        return len(json_text(parameters).encode())
    except ValueError as error:
        raise field_error(f"tools[{index}].function.parameters", str(error)) from None


# ---------------------------------------------------------------- what may be called
# Tags of unions stand in brackets: app/web/validation.py leaves them out of a field's name.


class FunctionName(Lenient):
    """The name of an offered function."""

    name: str


class NamedTool(Lenient):
    """An offered function."""

    type: Literal["function"]
    function: FunctionName


class FlatNamedTool(Lenient):
    """An offered function, as OpenAI's newer interface writes it."""

    type: Literal["function"]
    name: str


def _form_of_name(value: Any) -> str:
    is_flat = isinstance(value, dict) and "name" in value and "function" not in value
    return "(flat)" if is_flat else "(nested)"


ToolName = Annotated[
    Annotated[NamedTool, Tag("(nested)")] | Annotated[FlatNamedTool, Tag("(flat)")],
    Discriminator(_form_of_name),
]


class AllowedTools(Lenient):
    """Some of the offered functions, and whether one of them has to be called."""

    mode: Literal["auto", "required"]
    tools: list[ToolName] = Field(min_length=1, max_length=MAX_TOOLS)


class AllowedToolsChoice(Lenient):
    """A choice among some of the offered functions."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class FlatAllowedToolsChoice(AllowedTools):
    """A choice among some of the offered functions, as OpenAI's newer interface writes it."""

    type: Literal["allowed_tools"]


def _form_of_choice(value: Any) -> str | None:
    if isinstance(value, str):
        return "(mode)"
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "function":
        return _form_of_name(value)
    if kind == "allowed_tools":
        return "(allowed)" if "allowed_tools" in value or "tools" not in value else "(listed)"
    return None


ToolChoiceBody = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(mode)")]
    | Annotated[NamedTool, Tag("(nested)")]
    | Annotated[FlatNamedTool, Tag("(flat)")]
    | Annotated[AllowedToolsChoice, Tag("(allowed)")]
    | Annotated[FlatAllowedToolsChoice, Tag("(listed)")],
    Discriminator(
        _form_of_choice,
        custom_error_type="tool_choice",
        custom_error_message=(
            'must be "none", "auto", "required" or an object of type "function" or "allowed_tools"'
        ),
    ),
]


def chosen(choice: ToolChoiceBody | None, *, parallel: bool) -> ToolChoice:
    """Return which tools may or must be called; with `none` no tools are offered at all."""
    match choice:
        case NamedTool() | FlatNamedTool():
            return ToolChoice(is_required=True, names=[_name(choice)], parallel=parallel)
        case AllowedToolsChoice():
            return _allowed(choice.allowed_tools, parallel)
        case AllowedTools():
            return _allowed(choice, parallel)
        case _:
            return ToolChoice(is_required=choice == "required", parallel=parallel)


def _allowed(allowed: AllowedTools, parallel: bool) -> ToolChoice:
    names = list(dict.fromkeys(map(_name, allowed.tools)))
    return ToolChoice(is_required=allowed.mode == "required", names=names, parallel=parallel)


def _name(tool: NamedTool | FlatNamedTool) -> str:
    return tool.function.name if isinstance(tool, NamedTool) else tool.name
