"""Owns the check of a GGUF file's list of tensors: all of them lie within the file.

The bounds are those of ggml's own reader (`src/gguf.cpp`, `include/ggml.h`), which aborts
the process if some of them are exceeded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from app.models.gguf.cursor import Cursor
from app.models.gguf.values import GgufError, Value, shown

MAX_TENSORS = 65_536

_MAX_DIMS = 4
_MAX_NAME_BYTES = 63
_MAX_ELEMENTS = 2**63 - 1
_ALIGNMENT_KEY = "general.alignment"
_DEFAULT_ALIGNMENT = 32

# `ggml_type`: (elements of a block, its bytes); the gaps are types that ggml has removed.
TENSOR_TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip


class TensorList(NamedTuple):
    """What the list of tensors says.

    Attributes:
        names: those of the tensors.
        data_start: offset of their data, in bytes from the start of the file.
        n_elements: elements of all of them.
    """

    names: frozenset[str]
    data_start: int
    n_elements: int


class _Tensor(NamedTuple):
    name: str
    offset: int
    n_bytes: int
    n_elements: int


def check_tensors(cursor: Cursor, n_tensors: int, values: Mapping[str, Value]) -> int:
    """Check the list of tensors, as `read_tensors` does; return the offset of the tensor data."""
    return read_tensors(cursor, n_tensors, values).data_start


def read_tensors(cursor: Cursor, n_tensors: int, values: Mapping[str, Value]) -> TensorList:
    """Check and return the list of tensors, which begins at the cursor.

    Args:
        values: the metadata, which may say how tensors are aligned.

    Raises:
        GgufError: a tensor has an unknown type or shape, or lies outside the file.
    """
    alignment = _alignment(values)
    names: set[str] = set()
    n_elements = 0
    furthest = _Tensor("", 0, 0, 0)
    for _ in range(n_tensors):
        tensor = _read_tensor(cursor)
        if tensor.name in names:
            raise GgufError(f"tensor {shown(tensor.name)} is duplicated")
        if tensor.offset % alignment:
            raise GgufError(f"tensor {shown(tensor.name)} is not aligned to {alignment}")
        names.add(tensor.name)
        n_elements += tensor.n_elements
        furthest = max(furthest, tensor, key=_end)
    data_start = -(-cursor.position // alignment) * alignment
    if furthest.n_bytes and data_start + _end(furthest) > cursor.file_size:
        raise GgufError(
            f"tensor {shown(furthest.name)} ends at byte {data_start + _end(furthest)}, but the "
            f"file has {cursor.file_size} bytes; is the file complete?"
        )
    return TensorList(frozenset(names), data_start, n_elements)


def _end(tensor: _Tensor) -> int:
    return tensor.offset + tensor.n_bytes


def _alignment(values: Mapping[str, Value]) -> int:
    alignment = values.get(_ALIGNMENT_KEY, _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        raise GgufError(f"{shown(_ALIGNMENT_KEY)} is not a power of two")
    return alignment


def _read_tensor(cursor: Cursor) -> _Tensor:
    name = cursor.name("tensor name", _MAX_NAME_BYTES)
    n_dims = cursor.uint32()
    if n_dims > _MAX_DIMS:
        raise GgufError(f"tensor {shown(name)} has {n_dims} dimensions, more than {_MAX_DIMS}")
    shape = [cursor.uint64() for _ in range(n_dims)]
    n_bytes = _n_bytes(name, shape, cursor.uint32())
    return _Tensor(name, cursor.uint64(), n_bytes, math.prod(shape))


def _n_bytes(name: str, shape: list[int], tensor_type: int) -> int:
    if tensor_type not in TENSOR_TYPES:
        raise GgufError(f"tensor {shown(name)} is of type {tensor_type}, which does not exist")
    block_elements, block_bytes = TENSOR_TYPES[tensor_type]
    n_elements = math.prod(shape)
    if not 0 < n_elements <= _MAX_ELEMENTS:
        raise GgufError(f"tensor {shown(name)} has {n_elements} elements")
    if (shape[0] if shape else 1) % block_elements:
        raise GgufError(f"a row of tensor {shown(name)} is not a multiple of {block_elements}")
    return n_elements // block_elements * block_bytes
