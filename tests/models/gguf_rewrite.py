"""Owns taking a GGUF file apart and writing it again with changes, for tests of failing loads."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from app.models.gguf.tensors import TENSOR_TYPES
from tests.models.gguf_files import ARRAY, FORMATS, STRING, Raw, header, tensor

_ALIGNMENT = 32


@dataclass(frozen=True)
class Tensor:
    """A tensor with its data."""

    name: str
    shape: tuple[int, ...]
    tensor_type: int
    data: bytes


@dataclass
class Gguf:
    """A GGUF file in parts: values as encoded bytes, and tensors."""

    values: dict[str, Any] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        reader = _Reader(path.read_bytes())
        n_tensors, n_kv = struct.unpack_from("<QQ", reader.data, 8)
        reader.at = 24
        values = {reader.text(): reader.value() for _ in range(n_kv)}
        entries = [reader.entry() for _ in range(n_tensors)]
        start = reader.at + -reader.at % _ALIGNMENT
        tensors = [
            Tensor(name, shape, kind, reader.data[start + offset :][: _n_bytes(shape, kind)])
            for name, shape, kind, offset in entries
        ]
        return cls(values, tensors)

    def with_values(self, changes: Mapping[str, Any]) -> Gguf:
        """Return it with other values; None takes a key away."""
        values = {**self.values, **changes}
        return Gguf({k: v for k, v in values.items() if v is not None}, self.tensors)

    def without_tensor(self, name: str) -> Gguf:
        return Gguf(self.values, [each for each in self.tensors if each.name != name])

    def with_tensor(self, which: str, **changes: Any) -> Gguf:
        """Return it with one tensor changed; its data is cut or padded to the new shape."""
        tensors = [
            _fitted(replace(each, **changes)) if each.name == which else each
            for each in self.tensors
        ]
        return Gguf(self.values, tensors)

    def encoded(self) -> bytes:
        entries, data = b"", b""
        for each in self.tensors:
            entries += tensor(each.name, each.shape, each.tensor_type, len(data))
            data += each.data + bytes(-len(each.data) % _ALIGNMENT)
        front = header(self.values, n_tensors=len(self.tensors)) + entries
        return front + bytes(-len(front) % _ALIGNMENT) + data

    def write(self, path: Path) -> Path:
        path.write_bytes(self.encoded())
        return path


def _fitted(changed: Tensor) -> Tensor:
    size = _n_bytes(changed.shape, changed.tensor_type)
    return replace(changed, data=changed.data[:size].ljust(size, b"\0"))


def _n_bytes(shape: tuple[int, ...], kind: int) -> int:
    elements, n_bytes = TENSOR_TYPES[kind]
    count = 1
    for dim in shape:
        count *= dim
    return count // elements * n_bytes


class _Reader:
    """A position in a file that is known to be valid."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, form: str) -> int:
        (found,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(found)

    def text(self) -> str:
        length = self.number("<Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def value(self) -> Raw:
        begin = self.at
        kind = self.number("<I")
        count = 1
        if kind == ARRAY:
            kind, count = self.number("<I"), self.number("<Q")
        for _ in range(count):
            size = self.number("<Q") if kind == STRING else struct.calcsize(FORMATS[kind])
            self.at += size
        return Raw(self.data[begin : self.at])

    def entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.text()
        shape = tuple(self.number("<Q") for _ in range(self.number("<I")))
        return name, shape, self.number("<I"), self.number("<Q")
