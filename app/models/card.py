"""Owns what clients are told of a model: its name, its size and what it can do.

Judged by the header alone, without loading the model. It must know nothing of files.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from app.models.gguf import GgufHeader, Value

_NAMES = ("general.basename", "general.name")
_TEMPLATE = "tokenizer.chat_template"
_SHOWS_THOUGHTS = re.compile(
    r"enable_thinking|reasoning_content|reasoning_effort|\bthinking\b|</think>|<\|channel\|>"
    r"|\[/THINK\]"
)
# The parts of a text with a gap: what stands before it, what stands behind it, the gap.
_GAP_KEYS = (
    ("fim_pre_token_id", "prefix_token_id"),
    ("fim_suf_token_id", "suffix_token_id"),
    ("fim_mid_token_id", "middle_token_id"),
)
# Texts that llama.cpp takes for these tokens where no key names them (src/llama-vocab.cpp).
_GAP_TEXTS = (
    ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "<|code_prefix|>", "<|prefix|>",
     "<\uff5cfim\u2581begin\uff5c>", "\u2581<PRE>"),
    ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "<|code_suffix|>", "<|suffix|>",
     "<\uff5cfim\u2581hole\uff5c>", "\u2581<SUF>"),
    ("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "<|code_middle|>", "<|middle|>",
     "<\uff5cfim\u2581end\uff5c>", "\u2581<MID>"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What clients are told of a model.

    Attributes:
        basename: its name without size and version; empty if the header has none.
        n_params: elements of all tensors, of this file.
        shows_thoughts: whether its chat template tells of thoughts.
        fills_gaps: whether it has the tokens for text in the middle (FIM).
    """

    basename: str
    n_params: int
    shows_thoughts: bool
    fills_gaps: bool


def model_card(header: GgufHeader, encoded: bytes = b"") -> ModelCard:
    """Return the card of a model.

    Args:
        header: read to its end.
        encoded: the header's bytes, where the vocabulary's texts are looked for.
    """
    values = header.values
    names = (values.get(key) for key in _NAMES)
    return ModelCard(
        basename=next((name for name in names if isinstance(name, str) and name), ""),
        n_params=header.n_elements,
        shows_thoughts=shows_thoughts(chat_template(values)),
        fills_gaps=_fills_gaps(values, encoded),
    )


def chat_template(values: Mapping[str, Value]) -> str:
    """Return the chat template of a header; empty if there is none, or a very large one."""
    template = values.get(_TEMPLATE)
    return template if isinstance(template, str) else ""


def shows_thoughts(template: str) -> bool:
    """Return whether a chat template tells of a model's thoughts."""
    return _SHOWS_THOUGHTS.search(template) is not None


def _fills_gaps(values: Mapping[str, Value], encoded: bytes) -> bool:
    return all(
        any(f"tokenizer.ggml.{key}" in values for key in keys)
        or any(_array_item(text) in encoded for text in texts)
        for keys, texts in zip(_GAP_KEYS, _GAP_TEXTS, strict=True)
    )


def _array_item(text: str) -> bytes:
    """Return a string as it stands in an array of a GGUF header."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data
