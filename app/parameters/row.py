"""Owns the definition of a parameter's row, and reading the rows of a struct.

class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    temperature: Annotated[float, row("sampling temperature", ge=0, le=100)] = 0.8
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

Layer = Literal["setting", "request", "load"]
"""What may set a value: a setting, a request, or the `load_model_configs` of a request."""
TakesEffect = Literal["now", "next load", "next start"]
"""When a changed setting takes effect; only "next start" needs a restart."""

_KEY = "row"


@dataclass(frozen=True, slots=True)
class Details:
    """The details of a row besides type, bounds and default.

    Args:
        section: its heading in the documentation.
        takes_effect: when a change of the setting takes effect.
        given_by: the layers that may set it.
        aliases: other names in requests.
        auto: the meaning of `auto`, for settings that may be unset.
        refused: invalid values within the bounds, with the reason.
        allowed: the allowed values of the setting, for people, if the bounds do not describe them.
        clamps: whether a request may give more than the upper bound, which then counts.
    """

    section: str
    takes_effect: TakesEffect
    given_by: Collection[Layer]
    aliases: Sequence[str] = ()
    auto: str = ""
    refused: dict[int, str] = field(default_factory=dict)
    allowed: str = ""
    clamps: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter.

    Args:
        kind: its type, without None and with the bounds of its parts.
        is_optional: whether it may be None.
        bounds: the bounds by msgspec's names: `ge`, `gt`, `le`, `min_length`, `max_length`.
    """

    name: str
    kind: Any
    is_optional: bool
    default: Any
    description: str
    bounds: dict[str, Any]
    details: Details


@dataclass(frozen=True, slots=True)
class Group:
    """Makes rows that share section, layers and the time at which changes take effect."""

    section: str
    takes_effect: TakesEffect
    given_by: Collection[Layer]

    def __call__(
        self,
        description: str,
        *,
        aliases: Sequence[str] = (),
        auto: str = "",
        given_by: Collection[Layer] | None = None,
        refused: dict[int, str] | None = None,
        allowed: str = "",
        clamps: bool = False,
        **bounds: Any,
    ) -> msgspec.Meta:
        """Return the metadata of a row, for `Annotated`.

        Args:
            description: begins in lower case and has no full stop; shown to users.
            given_by: overrides the group's.
            bounds: arguments of `msgspec.Meta`.
        """
        details = Details(
            self.section,
            self.takes_effect,
            self.given_by if given_by is None else given_by,
            aliases,
            auto,
            refused or {},
            allowed,
            clamps,
        )
        return msgspec.Meta(description=description, extra={_KEY: details}, **bounds)


@cache
def rows(struct: type[msgspec.Struct]) -> tuple[Row, ...]:
    """Return the rows of a struct in their order; fields without one are left out."""
    hints = get_type_hints(struct, include_extras=True)
    found = (_row(each, hints[each.name]) for each in msgspec.structs.fields(struct))
    return tuple(row for row in found if row)


def bounds(meta: msgspec.Meta) -> dict[str, Any]:
    """Return the bounds of a type, by msgspec's names."""
    names = ("gt", "ge", "le", "pattern", "min_length", "max_length")
    given = {name: getattr(meta, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _row(described: msgspec.structs.FieldInfo, hint: Any) -> Row | None:
    options = [option for option in _options(hint) if option is not NoneType]
    kind = options[0]
    if get_origin(kind) is not Annotated:
        return None
    bare, meta = get_args(kind)
    if _KEY not in (meta.extra or {}):
        return None
    default = described.default
    if described.default_factory is not msgspec.NODEFAULT:
        default = described.default_factory()
    return Row(
        name=described.name,
        kind=bare,
        is_optional=NoneType in _options(hint),
        default=default,
        description=str(meta.description),
        bounds=bounds(meta),
        details=meta.extra[_KEY],
    )


def _options(hint: Any) -> tuple[Any, ...]:
    is_plain = get_origin(hint) in (None, Annotated) or NoneType not in get_args(hint)
    return (hint,) if is_plain else get_args(hint)
