"""Owns a model for requests of agents: the bundled one's words and template, a wide window, hardly
any weights, so that prompts of tens of thousands of tokens are prefilled in seconds. It also has
the tokens for filling in the middle.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.live.server import MODELS, NANO
from tests.models.gguf_files import Raw
from tests.models.gguf_rewrite import Gguf

N_CTX = 98304
_HEAD_SIZE = 32
WIDTH = 256


def uint32(number: int) -> Raw:
    return Raw(struct.pack("<II", 4, number))


def wide_model() -> Gguf:
    """Return the model: one block with one small attention head."""
    model = Gguf.read(MODELS / NANO)
    for each in model.tensors:
        if each.name.startswith("blk.") and not each.name.startswith("blk.0."):
            model = model.without_tensor(each.name)
    for name in ("attn_q", "attn_k", "attn_v"):
        model = model.with_tensor(f"blk.0.{name}.weight", shape=(WIDTH, _HEAD_SIZE))
    model = model.with_tensor("blk.0.attn_output.weight", shape=(_HEAD_SIZE, WIDTH))
    for name in ("attn_q_norm", "attn_k_norm"):
        model = model.with_tensor(f"blk.0.{name}.weight", shape=(_HEAD_SIZE,))
    changes = {
        "context_length": N_CTX,
        "block_count": 1,
        "attention.head_count": 1,
        "attention.head_count_kv": 1,
        "attention.key_length": _HEAD_SIZE,
        "attention.value_length": _HEAD_SIZE,
    }
    values = {f"qwen3.{key}": uint32(value) for key, value in changes.items()}
    for token, part in enumerate(("pre", "suf", "mid"), 1):
        values[f"tokenizer.ggml.fim_{part}_token_id"] = uint32(token)
    return model.with_values(values)


def write_wide_model(path: Path) -> Path:
    """Write the model."""
    return wide_model().write(path)
