"""Owns writing GGUF files, tensor by tensor, so that memory stays small; knows no model.

Format: the GGUF specification, version 3, little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

ALIGNMENT_BYTES = 32
_MAGIC, _VERSION = b"GGUF", 3
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

F32, F16, Q8_0 = 0, 1, 8  # `ggml_type`
_ELEMENT_BYTES = {F32: 4, F16: 2}
# Q8_0: 32 numbers share a scale of two bytes and take a byte each.
_Q8_0_NUMBERS, _Q8_0_BYTES = 32, 34

Scalar = bool | int | float | str
Value = Scalar | Sequence[str] | Sequence[int]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of the file.

    Attributes:
        shape: rows first; GGUF writes the dimensions in the opposite order.
        ggml_type: `F32`, `F16` or `Q8_0`; the last needs rows of a multiple of 32 numbers.
    """

    name: str
    shape: tuple[int, ...]
    ggml_type: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the data, without padding."""
        n_elements = int(np.prod(self.shape))
        if self.ggml_type == Q8_0:
            return n_elements // _Q8_0_NUMBERS * _Q8_0_BYTES
        return n_elements * _ELEMENT_BYTES[self.ggml_type]


class GgufWriter:
    """Writes the header at once and then takes the data of every tensor in order."""

    def __init__(
        self, file: BinaryIO, metadata: dict[str, Value], tensors: Sequence[TensorInfo]
    ) -> None:
        self._file = file
        file.write(_MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_string(key) + _typed(value))
        offset = 0
        for tensor in tensors:
            file.write(_info(tensor, offset))
            offset += tensor.n_bytes + -tensor.n_bytes % ALIGNMENT_BYTES
        self._pad()

    def add(self, tensor: TensorInfo, blocks: Iterable[NDArray[np.floating]]) -> None:
        """Write the data of the next tensor, given in consecutive blocks.

        Blocks may have any size; for `Q8_0` each has a multiple of 32 numbers.

        Raises:
            ValueError: the blocks do not add up to the tensor's size.
        """
        begin = self._file.tell()
        for block in blocks:
            self._file.write(_encoded(block, tensor.ggml_type))
        written = self._file.tell() - begin
        if written != tensor.n_bytes:
            raise ValueError(f"{tensor.name}: {written} bytes given, {tensor.n_bytes} expected")
        self._pad()

    def _pad(self) -> None:
        self._file.write(b"\0" * (-self._file.tell() % ALIGNMENT_BYTES))


def _encoded(block: NDArray[np.floating], ggml_type: int) -> bytes:
    if ggml_type != Q8_0:
        return np.ascontiguousarray(block, dtype="<f2" if ggml_type == F16 else "<f4").tobytes()
    rows = np.ascontiguousarray(block, dtype=np.float32).reshape(-1, _Q8_0_NUMBERS)
    scales = (np.abs(rows).max(axis=1) / np.float32(127)).astype("<f2")
    divisors = np.where(scales == 0, np.float32(1), scales.astype(np.float32))
    packed = np.empty((len(rows), _Q8_0_BYTES), np.uint8)
    packed[:, :2] = scales.view(np.uint8).reshape(-1, 2)
    packed[:, 2:] = np.clip(np.rint(rows / divisors[:, None]), -127, 127).astype(np.int8).view("u1")
    return packed.tobytes()


def _info(tensor: TensorInfo, offset: int) -> bytes:
    dimensions = tuple(reversed(tensor.shape))
    head = _string(tensor.name) + struct.pack("<I", len(dimensions))
    sizes = struct.pack(f"<{len(dimensions)}Q", *dimensions)
    return head + sizes + struct.pack("<IQ", tensor.ggml_type, offset)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _typed(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<IB", _BOOL, value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case str():
            return struct.pack("<I", _STRING) + _string(value)
        case _:
            return struct.pack("<I", _ARRAY) + _array(value)


def _array(items: Sequence[str] | Sequence[int]) -> bytes:
    texts = [item for item in items if isinstance(item, str)]
    if texts:
        return struct.pack("<IQ", _STRING, len(items)) + b"".join(map(_string, texts))
    return struct.pack("<IQ", _INT32, len(items)) + np.asarray(items, dtype="<i4").tobytes()
