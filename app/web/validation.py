"""Owns how validation errors become error messages; must not know HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from app.errors import InvalidRequest

_UNKNOWN_KEY = "extra_forbidden"
_FIELD_ERROR = "field_error"


def field_error(param: str, reason: str) -> PydanticCustomError:
    """Return a validation error with its own `param`, e.g. of a field that excludes another."""
    return PydanticCustomError(_FIELD_ERROR, "{reason}", {"param": param, "reason": reason})


def explain(error: ValidationError, schema: type[BaseModel]) -> InvalidRequest:
    """Return the error for the client: a sentence, and the name of the field as sent."""
    details = error.errors(include_url=False, include_context=True)
    first = _most_specific(details)
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", first["msg"])
        return InvalidRequest(
            f"The request body is not valid JSON: {reason}", param="body", code="invalid_json"
        )
    where = first["ctx"]["param"] if first["type"] == _FIELD_ERROR else _dotted(first["loc"])
    if first["type"] == _UNKNOWN_KEY:
        return _unknown_key(first["loc"], schema)
    message = first["msg"].removeprefix("Value error, ")
    if not where:
        return InvalidRequest("The request body must be a JSON object", param="body")
    return InvalidRequest(f"{where}: {message}", param=where)


def _most_specific(details: list[ErrorDetails]) -> ErrorDetails:
    """Return the error to report: an unknown key, else the first one.

    If a value matches no branch of a union, the error of the deepest branch is reported.
    """
    for detail in details:
        if detail["type"] == _UNKNOWN_KEY:
            return detail
    where = _place(details[0]["loc"])
    inside = [detail for detail in details if _place(detail["loc"])[: len(where)] == where]
    return max(inside, key=lambda detail: len(_place(detail["loc"])))


def _unknown_key(loc: tuple[int | str, ...], schema: type[BaseModel]) -> InvalidRequest:
    parent = ".".join(str(part) for part in loc[:-1])
    owner = _owner(schema, loc[:-1])
    valid = ", ".join(_keys(owner)) if owner else ""
    place = f" in {parent}" if parent else ""
    return InvalidRequest(
        f"Unknown key '{loc[-1]}'{place}; valid keys: {valid}",
        param=_dotted(loc),
        code="unknown_parameter",
    )


def _keys(owner: type[BaseModel]) -> list[str]:
    return sorted(field.alias or name for name, field in owner.model_fields.items())


def _owner(schema: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the model at `path` inside `schema`."""
    owner: type[BaseModel] | None = schema
    for part in path:
        field = owner.model_fields.get(str(part)) if owner else None
        owner = _model_in(field.annotation) if field else None
    return owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    candidates = (annotation, *getattr(annotation, "__args__", ()))
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _dotted(loc: tuple[int | str, ...]) -> str:
    """Return `messages[0].role` for `("messages", 0, "role")`; type names are left out."""
    text = ""
    for part in _place(loc):
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the keys and indices that lead to a value; type names are left out."""
    return tuple(part for part in loc if isinstance(part, int) or not _is_union_branch(part))


def _is_union_branch(part: str) -> bool:
    """Return whether a part of a path is the name of a type, as pydantic adds for unions."""
    return part in _TYPE_NAMES or "[" in part or "(" in part


_TYPE_NAMES = {"str", "int", "float", "bool", "dict", "list", "constrained-str"}
