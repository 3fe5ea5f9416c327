"""Owns damage to model files: most of it in the header, some of it in the tensors."""

from __future__ import annotations

import random

from scripts.fault_trials.bytes_damage import flip_bits, insert_or_remove, overwrite, put_number
from scripts.fault_trials.gguf_fields import Field, Layout

_NAMES = (b"llama", b"qwen2", b"qwen3", b"gemma", b"mamba", b"phi-2", b"bloom", b"rwkv6", b"nosuc")
_MOST_DAMAGES = 3


def damaged(data: bytes, layout: Layout, rng: random.Random) -> bytes:
    """Return a copy of a good file with up to three damages."""
    copy = bytearray(data)
    for _ in range(rng.randint(1, _MOST_DAMAGES)):
        _damage(copy, layout, rng)
        if rng.random() < 0.5:
            break
    return bytes(copy)


def _damage(data: bytearray, layout: Layout, rng: random.Random) -> None:
    field = rng.choice(layout.fields)
    draw = rng.random()
    if draw < 0.45 and field.at + field.size <= len(data):
        _change(data, field, rng)
    elif draw < 0.55:
        flip_bits(data, rng, 0, max(1, min(layout.header_bytes, len(data))))
    elif draw < 0.63:
        insert_or_remove(data, rng, field.at)
    elif draw < 0.70:
        overwrite(data, rng, min(field.at, len(data) - 1))
    elif draw < 0.78:
        del data[rng.choice((field.at + 1, rng.randrange(1, len(data)), len(data) - 1)) :]
    elif draw < 0.83:
        data[:] = data.replace(_NAMES[0], rng.choice(_NAMES))
    elif draw < 0.88:
        _swap(data, field, rng.choice(layout.fields))
    elif layout.header_bytes < len(data):
        flip_bits(data, rng, layout.header_bytes, len(data), most=1000)


def _change(data: bytearray, field: Field, rng: random.Random) -> None:
    if field.kind == "type":
        number = rng.choice((*range(45), 2**31, 2**32 - 1))
        data[field.at : field.at + field.size] = number.to_bytes(field.size, "little")
    elif field.kind == "text":
        flip_bits(data, rng, field.at, field.at + field.size)
    else:
        put_number(data, rng, field.at, field.size)


def _swap(data: bytearray, one: Field, other: Field) -> None:
    size = min(one.size, other.size)
    first, second = data[one.at : one.at + size], data[other.at : other.at + size]
    data[one.at : one.at + size], data[other.at : other.at + size] = second, first
