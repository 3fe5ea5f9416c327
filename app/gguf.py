"""Owns reading the header of a GGUF file; must know nothing of folders, settings or llama.cpp.

Source of the format: the GGUF specification, `docs/gguf.md` of the ggml project
(github.com/ggml-org/ggml). Only metadata is read, never tensors, and every length is checked
against fixed bounds and the file's size before it is used: model files are untrusted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

MAX_KEYS = 65_536
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 65_535
MAX_STRING_BYTES = 64 * 1024 * 1024
MAX_KEPT_STRING_BYTES = 256 * 1024
MAX_KEPT_BYTES = 16 * 1024 * 1024
MAX_KEPT_ITEMS = 1024
MAX_ARRAY_STRINGS = 4_194_304

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_PREAMBLE = struct.Struct("<4sIQQ")
_WINDOW_BYTES = 256 * 1024


class GgufError(ValueError):
    """The file is no GGUF file that can be used; the message says why."""


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


_SCALARS = {
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
_UINT32 = _SCALARS[ValueType.UINT32]
_UINT64 = _SCALARS[ValueType.UINT64]


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


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the tensors.

    Attributes:
        values: metadata by key; arrays of up to `MAX_KEPT_ITEMS` numbers are tuples, all other
            arrays and long strings are `Skipped`.
        complete: False where reading stopped early, so that an absent key proves nothing.
    """

    version: int
    n_tensors: int
    n_kv: int
    values: Mapping[str, Value]
    complete: bool


def read_header(file: BinaryIO, file_size: int, *, facts_only: bool = False) -> GgufHeader:
    """Read the header of a GGUF file.

    Args:
        file: opened in binary mode, seekable, positioned anywhere.
        file_size: bytes of the file; no length in the header may point beyond.
        facts_only: stop at the vocabulary, once the model's shape is known. The vocabulary's
            length is recorded, the keys behind it are not.

    Raises:
        GgufError: the bytes are no GGUF header within the bounds of this module.
        OSError: the file cannot be read.
    """
    cursor = _Cursor(file, file_size)
    version, n_tensors, n_kv = _read_preamble(cursor)
    values: dict[str, Value] = {}
    complete = True
    for _ in range(n_kv):
        key = cursor.key()
        if key in values:
            raise GgufError(f"key {shown(key)} stands there twice")
        value_type = cursor.value_type()
        if value_type is not ValueType.ARRAY:
            values[key] = cursor.scalar_or_string(value_type)
            continue
        item_type, length = cursor.array_head()
        if facts_only and _is_vocabulary(key, item_type) and _shape_is_known(values):
            values[key] = Skipped(item_type, length, is_array=True)
            complete = False
            break
        values[key] = cursor.array_items(item_type, length)
    return GgufHeader(version, n_tensors, n_kv, values, complete)


def _read_preamble(cursor: _Cursor) -> tuple[int, int, int]:
    if cursor.remaining < _PREAMBLE.size:
        raise GgufError("the file is too short for a GGUF header")
    magic, version, n_tensors, n_kv = _PREAMBLE.unpack(cursor.take(_PREAMBLE.size))
    if magic != _MAGIC:
        raise GgufError("the file does not begin with 'GGUF'")
    if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
        raise GgufError("the file is written for big-endian machines")
    if version not in _VERSIONS:
        raise GgufError(f"GGUF version {version} is not supported, only 2 and 3 are")
    if n_tensors > MAX_TENSORS:
        raise GgufError(f"{n_tensors} tensors are more than the {MAX_TENSORS} allowed")
    if n_kv > MAX_KEYS:
        raise GgufError(f"{n_kv} metadata keys are more than the {MAX_KEYS} allowed")
    return version, n_tensors, n_kv


def _is_vocabulary(key: str, item_type: ValueType) -> bool:
    return item_type is ValueType.STRING and key.startswith("tokenizer.")


def _shape_is_known(values: Mapping[str, Value]) -> bool:
    architecture = values.get("general.architecture")
    return f"{architecture}.block_count" in values and f"{architecture}.context_length" in values


def shown(text: str) -> str:
    """Return text from a file as it may stand in a message: quoted, escaped and short."""
    return repr(text if len(text) <= 80 else text[:80] + "…")


class _Cursor:
    """A position in the file, with a window of bytes around it."""

    def __init__(self, file: BinaryIO, file_size: int) -> None:
        self._file = file
        self._size = file_size
        self._window = b""
        self._window_start = 0
        self._at = 0
        self._kept_bytes = 0
        self._array_strings = 0

    @property
    def remaining(self) -> int:
        return self._size - self._window_start - self._at

    def _require(self, n_bytes: int) -> None:
        if n_bytes > self.remaining:
            raise GgufError("the header runs past the end of the file; is the file complete?")

    def _fill(self, n_bytes: int) -> None:
        """Move the window so that it starts here and holds at least `n_bytes`."""
        self._require(n_bytes)
        self._window_start += self._at
        self._at = 0
        self._file.seek(self._window_start)
        self._window = self._file.read(max(n_bytes, min(_WINDOW_BYTES, self.remaining)))
        if len(self._window) < n_bytes:
            raise GgufError("the file ended while its header was read")

    def take(self, n_bytes: int) -> bytes:
        if self._at + n_bytes > len(self._window):
            self._fill(n_bytes)
        begin = self._at
        self._at += n_bytes
        return self._window[begin : self._at]

    def _skip(self, n_bytes: int) -> None:
        self._require(n_bytes)
        self._at += n_bytes

    def _keep(self, n_bytes: int) -> None:
        self._kept_bytes += n_bytes
        if self._kept_bytes > MAX_KEPT_BYTES:
            raise GgufError(f"the metadata is larger than {MAX_KEPT_BYTES} bytes")

    def key(self) -> str:
        (length,) = _UINT64.unpack(self.take(8))
        if length > MAX_KEY_BYTES:
            raise GgufError(f"a key of {length} bytes is longer than {MAX_KEY_BYTES}")
        self._keep(length)
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise GgufError("a key is not valid UTF-8") from error

    def value_type(self) -> ValueType:
        (number,) = _UINT32.unpack(self.take(4))
        try:
            return ValueType(number)
        except ValueError as error:
            raise GgufError(f"value type {number} does not exist") from error

    def scalar_or_string(self, value_type: ValueType) -> Value:
        if value_type is ValueType.STRING:
            return self._string()
        return self._scalars(value_type, 1)[0]

    def _string(self) -> str | Skipped:
        (length,) = _UINT64.unpack(self.take(8))
        if length > MAX_STRING_BYTES:
            raise GgufError(f"a string of {length} bytes is longer than {MAX_STRING_BYTES}")
        if length > MAX_KEPT_STRING_BYTES:
            self._skip(length)
            return Skipped(ValueType.STRING, length, is_array=False)
        self._keep(length)
        return self.take(length).decode(errors="replace")

    def _scalars(self, value_type: ValueType, count: int) -> tuple[Scalar, ...]:
        codec = _SCALARS[value_type]
        numbers = tuple(number for (number,) in codec.iter_unpack(self.take(codec.size * count)))
        if value_type is not ValueType.BOOL:
            return numbers
        if any(number > 1 for number in numbers):
            raise GgufError("a boolean is neither 0 nor 1")
        return tuple(number == 1 for number in numbers)

    def array_head(self) -> tuple[ValueType, int]:
        item_type = self.value_type()
        (length,) = _UINT64.unpack(self.take(8))
        if item_type is ValueType.ARRAY:
            raise GgufError("arrays within arrays are not supported")
        smallest_item = 8 if item_type is ValueType.STRING else _SCALARS[item_type].size
        self._require(length * smallest_item)
        return item_type, length

    def array_items(self, item_type: ValueType, length: int) -> tuple[Scalar, ...] | Skipped:
        if item_type is ValueType.STRING:
            self._skip_strings(length)
        elif length <= MAX_KEPT_ITEMS:
            n_bytes = length * _SCALARS[item_type].size
            self._keep(n_bytes)
            return self._scalars(item_type, length)
        else:
            self._skip(length * _SCALARS[item_type].size)
        return Skipped(item_type, length, is_array=True)

    def _skip_strings(self, count: int) -> None:
        """Step over strings without building any.

        A string that is too long ends outside the window, so bounds are checked only there.
        """
        self._array_strings += count
        if self._array_strings > MAX_ARRAY_STRINGS:
            raise GgufError(f"the arrays hold more than {MAX_ARRAY_STRINGS} strings")
        unpack_length = _UINT64.unpack_from
        window, at = self._window, self._at
        last_start = len(window) - 8
        for _ in range(count):
            if at > last_start:
                self._leave_window(at)
                window, at = self._window, 0
                last_start = len(window) - 8
            at += 8 + unpack_length(window, at)[0]
        self._at = at
        self._require(0)

    def _leave_window(self, at: int) -> None:
        if at - len(self._window) > MAX_STRING_BYTES:
            raise GgufError(f"an array holds a string longer than {MAX_STRING_BYTES} bytes")
        self._at = at
        self._fill(8)
