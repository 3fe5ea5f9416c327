"""Owns deriving pydantic fields from the rows of `app.parameters`; must not know the models.

A setting has the default of its row; a field of a request defaults to None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, create_model
from pydantic.config import JsonDict
from pydantic_settings import NoDecode

from app.parameters.row import Layer, Row, TakesEffect, bounds, rows

ModelT = TypeVar("ModelT", bound=BaseModel)


def setting(
    default: Any, description: str, *, section: str, takes_effect: TakesEffect, **more: Any
) -> Any:
    """Return the field of a setting that has no row.

    Args:
        section: its heading in docs/configuration.md.
        takes_effect: when a change takes effect.
        more: bounds and other arguments of pydantic's `Field`.
    """
    extra: JsonDict = {"section": section, "takes_effect": takes_effect}
    return Field(default, description=description, json_schema_extra=extra, **more)


def with_settings(*structs: type[msgspec.Struct]) -> Callable[[type[ModelT]], type[ModelT]]:
    """Add a setting for each row that can be given by a setting."""
    return _with(lambda: {name: _setting(row) for name, row in _given_by("setting", structs)})


def with_parameters(
    layer: Layer, *structs: type[msgspec.Struct], takes_refused: bool = False
) -> Callable[[type[ModelT]], type[ModelT]]:
    """Add an optional field for each row that `layer` may give, and for each of its aliases.

    Args:
        takes_refused: whether the values that a row refuses are accepted.
    """
    return _with(lambda: dict(_optional_fields(layer, structs, takes_refused=takes_refused)))


def _with(fields: Callable[[], dict[str, Any]]) -> Callable[[type[ModelT]], type[ModelT]]:
    def extended(model: type[ModelT]) -> type[ModelT]:
        made: type[ModelT] = create_model(
            model.__name__,
            __base__=model,
            __module__=model.__module__,
            __doc__=model.__doc__,
            **fields(),
        )
        return made

    return extended


def _given_by(layer: Layer, structs: tuple[type[msgspec.Struct], ...]) -> Iterator[tuple[str, Row]]:
    for struct in structs:
        for row in rows(struct):
            if layer in row.details.given_by:
                yield row.name, row


def _setting(row: Row) -> tuple[Any, Any]:
    kind = _kind(row.kind)
    annotation = Annotated[kind, NoDecode] if get_origin(kind) is list else kind
    details = row.details
    auto = f"; auto: {details.auto}" if details.auto else ""
    field = setting(
        row.default,
        row.description + auto,
        section=details.section,
        takes_effect=details.takes_effect,
        **row.bounds,
    )
    if details.allowed:
        field.json_schema_extra["allowed"] = details.allowed
    annotation = _without_refused(annotation, row)
    return (annotation | None if row.is_optional else annotation, field)


def _optional_fields(
    layer: Layer, structs: tuple[type[msgspec.Struct], ...], *, takes_refused: bool
) -> Iterator[tuple[str, Any]]:
    for name, row in _given_by(layer, structs):
        # Bounds are inside the type, else the JSON schema would not contain them.
        kind = _bounded(_json_kind(_kind(row.kind)), row)
        annotation = (kind if takes_refused else _without_refused(kind, row)) | None
        text = f"{row.description[0].upper()}{row.description[1:]}."
        yield name, (annotation, Field(None, description=text))
        for alias in row.details.aliases:
            text = f"Another name of {name}."
            yield alias, (annotation, Field(None, description=text))


def _kind(kind: Any) -> Any:
    """Return a type with the bounds of its parts as pydantic's."""
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        bare, meta = arguments
        return Annotated[_kind(bare), Field(**bounds(meta))]
    if get_origin(kind) in (list, dict):
        return get_origin(kind)[tuple(map(_kind, arguments))]
    return kind


def _json_kind(kind: Any) -> Any:
    """Return the type of the JSON value: keys of objects are strings."""
    return dict[str, get_args(kind)[1]] if get_origin(kind) is dict else kind  # type: ignore[misc]


def _bounded(kind: Any, row: Row) -> Any:
    bounded = Annotated[kind, Field(**row.bounds)]
    if not row.details.clamps:
        return bounded
    most = row.bounds["le"]

    def clamp(value: Any) -> Any:
        return most if type(value) is int and value > most else value

    return Annotated[bounded, BeforeValidator(clamp)]


def _without_refused(kind: Any, row: Row) -> Any:
    if not row.details.refused:
        return kind

    def check(value: int) -> int:
        if value in row.details.refused:
            raise ValueError(row.details.refused[value])
        return value

    return Annotated[kind, AfterValidator(check)]
