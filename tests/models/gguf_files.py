"""Owns GGUF headers in bytes for tests; must know nothing of the reader that they test."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = range(10)
UINT64, INT64, FLOAT64 = 10, 11, 12
F32, Q8_0 = 0, 8  # types of tensors

FORMATS = {
    UINT8: "<B",
    INT8: "<b",
    UINT16: "<H",
    INT16: "<h",
    UINT32: "<I",
    INT32: "<i",
    FLOAT32: "<f",
    BOOL: "<B",
    UINT64: "<Q",
    INT64: "<q",
    FLOAT64: "<d",
}

LLAMA_VALUES: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.context_length": 2048,
    "llama.block_count": 4,
    "llama.embedding_length": 256,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["a", "b", "<|end|>"],
    "tokenizer.ggml.scores": [0.0, 1.0, 2.0],
    "tokenizer.chat_template": "{{ messages }}",
    "general.file_type": 15,
}


class Raw(bytes):
    """A value that is already encoded: its type's 4 bytes, then the rest."""


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def typed(value_type: int, number: float) -> Raw:
    return Raw(struct.pack("<I", value_type) + struct.pack(FORMATS[value_type], number))


def array(item_type: int, length: int, items: bytes = b"") -> Raw:
    return Raw(struct.pack("<IIQ", ARRAY, item_type, length) + items)


def encoded(value: Any) -> bytes:
    match value:
        case Raw():
            return value
        case bool():
            return typed(BOOL, value)
        case int():
            return typed(UINT32, value)
        case float():
            return typed(FLOAT32, value)
        case str():
            return struct.pack("<I", STRING) + text(value)
        case [str(), *_]:
            return array(STRING, len(value), b"".join(map(text, value)))
        case [float(), *_]:
            return array(FLOAT32, len(value), struct.pack(f"<{len(value)}f", *value))
        case list():
            return array(INT32, len(value), struct.pack(f"<{len(value)}i", *value))
        case _:
            raise TypeError(value)


def header(
    values: Mapping[str, Any] | list[tuple[str, Any]],
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    n_tensors: int = 0,
    n_kv: int | None = None,
) -> bytes:
    pairs = list(values.items()) if isinstance(values, Mapping) else values
    count = len(pairs) if n_kv is None else n_kv
    body = b"".join(text(key) + encoded(value) for key, value in pairs)
    return struct.pack("<4sIQQ", magic, version, n_tensors, count) + body


def tensor(
    name: str | bytes, shape: tuple[int, ...] = (32,), tensor_type: int = F32, offset: int = 0
) -> bytes:
    """Return an entry of the list of tensors."""
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dims + struct.pack("<IQ", tensor_type, offset)


def with_tensors(
    *tensors: bytes, data: int, values: Mapping[str, Any] | None = None, n_tensors: int = -1
) -> bytes:
    """Return a file whose tensors have `data` bytes of zeros, after a header padded to 32."""
    count = len(tensors) if n_tensors < 0 else n_tensors
    front = header(values or {}, n_tensors=count) + b"".join(tensors)
    return front + bytes(-len(front) % 32 + data)


EMBEDDINGS = tensor("token_embd.weight")


def llama(**changes: Any) -> bytes:
    """Return a small llama model with the one tensor that all have, or with `tensors`.

    `__` in the name of a key stands for `.`, None takes a key away.
    """
    tensors = changes.pop("tensors", (EMBEDDINGS,))
    named = {key.replace("__", "."): value for key, value in changes.items()}
    values = LLAMA_VALUES | named
    values = {key: value for key, value in values.items() if value is not None}
    return with_tensors(*tensors, data=128 if tensors else 0, values=values)


def write_llama(path: Path, *, padding: int = 0, **changes: Any) -> Path:
    path.write_bytes(llama(**changes) + bytes(padding))
    return path
