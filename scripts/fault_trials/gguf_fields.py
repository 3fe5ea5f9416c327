"""Owns where the fields of a GGUF file lie; believes the file, which has to be a good one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_MAX_ITEMS = 16


class Field(NamedTuple):
    """Some bytes of the file.

    Args:
        kind: one of `count length type value text`.
    """

    at: int
    size: int
    kind: str


class Layout(NamedTuple):
    """The fields in the order of the file, and where they end."""

    fields: list[Field]
    header_bytes: int


def layout_of(data: bytes) -> Layout:
    """Return where the fields of a good file lie; of long arrays, the first items only."""
    walk = _Walk(data)
    return Layout(list(walk.all_fields()), walk.at)


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def all_fields(self) -> Iterator[Field]:
        yield self._next(4, "text")
        yield self._next(4, "type")
        n_tensors = self._number("<Q")
        yield self._next(8, "count")
        n_keys = self._number("<Q")
        yield self._next(8, "count")
        for _ in range(n_keys):
            yield from self._string()
            value_type = self._number("<I")
            yield self._next(4, "type")
            yield from self._value(value_type)
        for _ in range(n_tensors):
            yield from self._string()
            n_dims = self._number("<I")
            for size, kind in ((4, "count"), *[(8, "length")] * n_dims, (4, "type"), (8, "length")):
                yield self._next(size, kind)

    def _value(self, value_type: int) -> Iterator[Field]:
        if value_type == _STRING:
            yield from self._string()
        elif value_type == _ARRAY:
            item_type = self._number("<I")
            yield self._next(4, "type")
            count = self._number("<Q")
            yield self._next(8, "count")
            for number in range(count):
                found = list(self._value(item_type))
                yield from found if number < _MAX_ITEMS else ()
        else:
            yield self._next(_SIZES[value_type], "value")

    def _string(self) -> Iterator[Field]:
        length = self._number("<Q")
        yield self._next(8, "length")
        if length:
            yield self._next(length, "text")

    def _number(self, form: str) -> int:
        number: int = struct.unpack_from(form, self._data, self.at)[0]
        return number

    def _next(self, size: int, kind: str) -> Field:
        found = Field(self.at, size, kind)
        self.at += size
        return found
