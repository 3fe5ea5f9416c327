"""Owns the values of a GGUF file's metadata and the bounds on them; does no I/O."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_KEY_BYTES = 65_535
MAX_STRING_BYTES = 64 * 1024 * 1024
MAX_KEPT_STRING_BYTES = 256 * 1024
MAX_KEPT_BYTES = 16 * 1024 * 1024
MAX_KEPT_ITEMS = 1024
MAX_ARRAY_STRINGS = 4_194_304


class GgufError(ValueError):
    """The file is not a valid GGUF file; the message states the reason."""


class ValueType(IntEnum):
    """Type numbers of metadata values, as the specification lists them."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALARS = {
    ValueType.UINT8: struct.Struct("<B"),
    ValueType.INT8: struct.Struct("<b"),
    ValueType.UINT16: struct.Struct("<H"),
    ValueType.INT16: struct.Struct("<h"),
    ValueType.UINT32: struct.Struct("<I"),
    ValueType.INT32: struct.Struct("<i"),
    ValueType.FLOAT32: struct.Struct("<f"),
    ValueType.BOOL: struct.Struct("<B"),
    ValueType.UINT64: struct.Struct("<Q"),
    ValueType.INT64: struct.Struct("<q"),
    ValueType.FLOAT64: struct.Struct("<d"),
}
UINT32 = SCALARS[ValueType.UINT32]
UINT64 = SCALARS[ValueType.UINT64]


@dataclass(frozen=True)
class Skipped:
    """A value that is too large to keep.

    Attributes:
        value_type: type of an array's items, or STRING for a long string.
        length: items of the array, or bytes of the string.
        is_array: tells the two apart.
    """

    value_type: ValueType
    length: int
    is_array: bool


Scalar = bool | int | float
Value = Scalar | str | tuple[Scalar, ...] | Skipped


def shown(text: str) -> str:
    """Return untrusted text for a message: quoted, escaped and shortened."""
    return repr(text if len(text) <= 80 else text[:80] + "…")
