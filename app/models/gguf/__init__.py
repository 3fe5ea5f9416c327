"""Owns reading the header of a GGUF file; must know nothing of folders, settings or llama.cpp.

Source of the format: the GGUF specification, `docs/gguf.md` of the ggml project
(github.com/ggml-org/ggml). The metadata is read and the list of tensors checked against the
file's size; the tensors themselves are never read.
"""

from __future__ import annotations

from app.models.gguf.header import MAX_KEYS, GgufHeader, read_header
from app.models.gguf.tensors import MAX_TENSORS
from app.models.gguf.values import (
    MAX_ARRAY_STRINGS,
    MAX_KEPT_BYTES,
    MAX_KEPT_ITEMS,
    MAX_KEPT_STRING_BYTES,
    MAX_KEY_BYTES,
    MAX_STRING_BYTES,
    GgufError,
    Scalar,
    Skipped,
    Value,
    ValueType,
    shown,
)

__all__ = [
    "MAX_ARRAY_STRINGS",
    "MAX_KEPT_BYTES",
    "MAX_KEPT_ITEMS",
    "MAX_KEPT_STRING_BYTES",
    "MAX_KEYS",
    "MAX_KEY_BYTES",
    "MAX_STRING_BYTES",
    "MAX_TENSORS",
    "GgufError",
    "GgufHeader",
    "Scalar",
    "Skipped",
    "Value",
    "ValueType",
    "read_header",
    "shown",
]
