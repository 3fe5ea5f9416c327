"""Owns the layout of a GGUF file: preamble, metadata, list of tensors.

Every count and length is checked before it is used: model files are untrusted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from app.models.gguf.cursor import Cursor
from app.models.gguf.tensors import MAX_TENSORS, read_tensors
from app.models.gguf.values import GgufError, Skipped, Value, ValueType, shown

MAX_KEYS = 65_536

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_PREAMBLE = struct.Struct("<4sIQQ")


@dataclass(frozen=True)
class GgufHeader:
    """Everything before the tensor data.

    Attributes:
        values: metadata by key; arrays of up to `MAX_KEPT_ITEMS` numbers are tuples, all other
            arrays and long strings are `Skipped`.
        complete: False if reading stopped early, so that keys may be missing.
        data_start: offset of the tensor data, in bytes; None if reading stopped early.
        tensors: names of the tensors; empty if reading stopped early.
        n_elements: elements of all tensors: the parameters of the model, or of this part of it.
    """

    version: int
    n_tensors: int
    n_kv: int
    values: Mapping[str, Value]
    complete: bool
    data_start: int | None = None
    tensors: frozenset[str] = frozenset()
    n_elements: int = 0


def read_header(file: BinaryIO, file_size: int, *, facts_only: bool = False) -> GgufHeader:
    """Read the header of a GGUF file, and check that all its tensors lie within the file.

    Args:
        file: opened in binary mode, seekable, positioned anywhere.
        file_size: bytes of the file; no length in the header may point beyond.
        facts_only: stop at the vocabulary, once the model's shape is known. The vocabulary's
            length is recorded, the keys behind it are not, and tensors are not checked.

    Raises:
        GgufError: not a valid GGUF header, or one beyond the bounds of this module.
        OSError: the file cannot be read.
    """
    cursor = Cursor(file, file_size)
    version, n_tensors, n_kv = _read_preamble(cursor)
    values, complete = _read_values(cursor, n_kv, facts_only=facts_only)
    if not complete:
        return GgufHeader(version, n_tensors, n_kv, values, complete)
    listed = read_tensors(cursor, n_tensors, values)
    return GgufHeader(
        version,
        n_tensors,
        n_kv,
        values,
        complete,
        listed.data_start,
        listed.names,
        listed.n_elements,
    )


def _read_values(cursor: Cursor, n_kv: int, *, facts_only: bool) -> tuple[dict[str, Value], bool]:
    """Return the metadata, and whether it is all of it."""
    values: dict[str, Value] = {}
    for _ in range(n_kv):
        key = cursor.key()
        if key in values:
            raise GgufError(f"key {shown(key)} is duplicated")
        value_type = cursor.value_type()
        if value_type is not ValueType.ARRAY:
            values[key] = cursor.scalar_or_string(value_type)
            continue
        item_type, length = cursor.array_head()
        if facts_only and _is_vocabulary(key, item_type) and _shape_is_known(values):
            values[key] = Skipped(item_type, length, is_array=True)
            return values, False
        values[key] = cursor.array_items(item_type, length)
    return values, True


def _read_preamble(cursor: Cursor) -> tuple[int, int, int]:
    if cursor.remaining < _PREAMBLE.size:
        raise GgufError("the file is too short for a GGUF header")
    magic, version, n_tensors, n_kv = _PREAMBLE.unpack(cursor.take(_PREAMBLE.size))
    if magic != _MAGIC:
        raise GgufError("the file does not begin with 'GGUF'")
    if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
        raise GgufError("the file is big-endian")
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
