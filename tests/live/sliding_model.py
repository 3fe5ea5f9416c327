"""Owns making a small model of random weights whose layers but one slide a window (Gemma 3's)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scripts.benchmark.gguf_writer import F16, F32, GgufWriter, TensorInfo, Value
from scripts.benchmark.vocabulary import (
    CHAT_TEMPLATE,
    END_OF_TEXT,
    END_OF_TURN,
    make_vocabulary,
)

WINDOW = 64
N_VOCAB, N_EMBD, N_LAYER, N_FF = 2048, 64, 6, 128
N_HEAD, N_HEAD_KV, HEAD_SIZE = 2, 1, 32
_SEED = 3


def make_sliding_model(path: Path) -> None:
    """Write the model's file."""
    rng = np.random.default_rng(_SEED)
    tensors = _tensors()
    with path.open("wb") as file:
        writer = GgufWriter(file, _metadata(), tensors)
        for info in tensors:
            if len(info.shape) == 1:
                writer.add(info, [np.ones(info.shape, np.float32)])
            else:
                weights = rng.standard_normal(info.shape, np.float32)
                writer.add(info, [weights / np.float32(np.sqrt(info.shape[1]))])


def _tensors() -> list[TensorInfo]:
    """Return every tensor; vectors are norms."""
    query, key = N_HEAD * HEAD_SIZE, N_HEAD_KV * HEAD_SIZE
    block: dict[str, tuple[int, ...]] = {
        "attn_norm": (N_EMBD,),
        "attn_q": (query, N_EMBD),
        "attn_k": (key, N_EMBD),
        "attn_v": (key, N_EMBD),
        "attn_output": (N_EMBD, query),
        "attn_q_norm": (HEAD_SIZE,),
        "attn_k_norm": (HEAD_SIZE,),
        "post_attention_norm": (N_EMBD,),
        "ffn_norm": (N_EMBD,),
        "ffn_gate": (N_FF, N_EMBD),
        "ffn_up": (N_FF, N_EMBD),
        "ffn_down": (N_EMBD, N_FF),
        "post_ffw_norm": (N_EMBD,),
    }
    shapes = {"token_embd": (N_VOCAB, N_EMBD), "output_norm": (N_EMBD,)}
    shapes |= {f"blk.{i}.{name}": shape for i in range(N_LAYER) for name, shape in block.items()}
    return [
        TensorInfo(f"{name}.weight", shape, F16 if len(shape) > 1 else F32)
        for name, shape in shapes.items()
    ]


def _metadata() -> dict[str, Value]:
    vocabulary = make_vocabulary(N_VOCAB)
    return {
        "general.architecture": "gemma3",
        "general.name": "random weights that slide a window",
        "gemma3.context_length": 8192,
        "gemma3.embedding_length": N_EMBD,
        "gemma3.block_count": N_LAYER,
        "gemma3.feed_forward_length": N_FF,
        "gemma3.attention.head_count": N_HEAD,
        "gemma3.attention.head_count_kv": N_HEAD_KV,
        "gemma3.attention.key_length": HEAD_SIZE,
        "gemma3.attention.value_length": HEAD_SIZE,
        "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
        "gemma3.attention.sliding_window": WINDOW,
        "gemma3.rope.freq_base": 1_000_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": vocabulary.tokens,
        "tokenizer.ggml.token_type": vocabulary.token_types,
        "tokenizer.ggml.merges": vocabulary.merges,
        "tokenizer.ggml.bos_token_id": vocabulary.id_of(END_OF_TEXT),
        "tokenizer.ggml.eos_token_id": vocabulary.id_of(END_OF_TURN),
        "tokenizer.ggml.padding_token_id": vocabulary.id_of(END_OF_TEXT),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
