"""Owns the types that keys and values may have in the KV cache."""

from __future__ import annotations

from typing import Literal

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]

# By their number in `ggml_type` (ggml's include/ggml.h).
GGML_TYPES: dict[CacheType, int] = {
    "f32": 0,
    "f16": 1,
    "bf16": 30,
    "q8_0": 8,
    "q5_1": 7,
    "q5_0": 6,
    "q4_1": 3,
    "q4_0": 2,
    "iq4_nl": 20,
}
PLAIN_TYPES: tuple[CacheType, ...] = ("f32", "f16", "bf16")
"""The types that are not quantised; llama.cpp takes values of the others with flash attention."""
