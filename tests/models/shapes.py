"""Owns the metadata of models in many shapes; must know nothing of what is derived from them.

Small ones have the layers that tell architectures apart. The real ones are published models'
shapes; their weights count with 4.8 bits, and are in no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.models.gguf_files import BOOL, Raw, array

Keys = Mapping[str, Any]

_BASE: Keys = {
    "context_length": 32_768,
    "block_count": 6,
    "embedding_length": 256,
    "feed_forward_length": 512,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "attention.layer_norm_epsilon": 1e-6,
    "rope.dimension_count": 64,
    "vocab_size": 512,
}
_BYTES_PER_WEIGHT = 0.6


def metadata(architecture: str, keys: Keys) -> dict[str, Any]:
    """Return metadata that llama.cpp loads; keys with None are taken away."""
    named = {f"{architecture}.{key}": value for key, value in {**_BASE, **keys}.items()}
    found = {key: value for key, value in named.items() if value is not None}
    return {"general.architecture": architecture, "tokenizer.ggml.model": "no_vocab", **found}


def flags(text: str) -> Raw:
    """Return an array of truth values, a digit each."""
    return array(BOOL, len(text), bytes(map(int, text)))


_WINDOW: Keys = {"attention.sliding_window": 512}
_STATED: Keys = {**_WINDOW, "attention.sliding_window_pattern": flags("101010")}
_EXPERTS: Keys = {
    "expert_count": 4,
    "expert_used_count": 2,
    "expert_feed_forward_length": 128,
    "expert_gating_func": 2,
    "leading_dense_block_count": 1,
}
_SHARED: Keys = {**_EXPERTS, "expert_shared_feed_forward_length": 128, "expert_shared_count": 1}
_SSM: Keys = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 512,
    "ssm.state_size": 64,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 2,
}
_SOME_HEADS: Keys = {"attention.head_count_kv": [0, 2, 0, 0, 2, 0]}
_NO_HEADS: Keys = {"attention.head_count": 0, "attention.head_count_kv": None}
_SECTIONS: Keys = {"rope.dimension_sections": [11, 11, 10, 0]}
_SCALES: Keys = {
    "logit_scale": 1.0,
    "residual_scale": 1.0,
    "embedding_scale": 1.0,
    "attention.scale": 1.0,
}
_LATENT: Keys = {
    **_SHARED,
    "attention.head_count_kv": 1,
    "attention.key_length": 192,
    "attention.value_length": 128,
    "attention.key_length_mla": 96,
    "attention.value_length_mla": 64,
    "attention.kv_lora_rank": 128,
    "attention.q_lora_rank": 64,
}
_NEMOTRON: Keys = {**_SSM, **_SOME_HEADS, "feed_forward_length": [0, 0, 512, 0, 0, 512]}

SMALL: Mapping[str, tuple[str, Keys]] = {
    "llama": ("llama", {}),
    "a window that llama.cpp ignores": ("qwen2", _WINDOW),
    "another one": ("phi3", _WINDOW),
    "gemma2": ("gemma2", _WINDOW),
    "gemma2, window not stated": ("gemma2", {}),
    "gemma3": ("gemma3", _WINDOW),
    "gemma3 without a window": ("gemma3", {}),
    "gemma3, another period": ("gemma3", {**_WINDOW, "attention.sliding_window_pattern": 3}),
    "gemma3n": (
        "gemma3n",
        {**_WINDOW, "block_count": 25, "embedding_length_per_layer_input": 64},
    ),
    "gemma4": (
        "gemma4",
        {
            **_WINDOW,
            "attention.sliding_window_pattern": flags("111010"),
            "attention.shared_kv_layers": 2,
            "attention.key_length_swa": 32,
            "attention.value_length_swa": 32,
            "rope.dimension_count_swa": 32,
            "embedding_length_per_layer_input": 64,
        },
    ),
    "cohere2": ("cohere2", {**_WINDOW, **_SCALES}),
    "cohere2moe": ("cohere2moe", {**_WINDOW, **_SCALES, **_EXPERTS}),
    "gpt-oss": ("gpt-oss", {**_WINDOW, **_EXPERTS}),
    "exaone4 without a window": ("exaone4", _WINDOW),
    "exaone4": ("exaone4", {**_WINDOW, "block_count": 64}),
    "exaone-moe": ("exaone-moe", {**_WINDOW, **_SHARED}),
    "olmo2": ("olmo2", _WINDOW),
    "plamo3": ("plamo3", {**_WINDOW, "attention.sliding_window_pattern": 3}),
    "smallthinker": ("smallthinker", {**_WINDOW, **_EXPERTS}),
    "llama4": ("llama4", {**_EXPERTS, "interleave_moe_layer_step": 1}),
    "llama4 without a window": (
        "llama4",
        {**_EXPERTS, "interleave_moe_layer_step": 1, "attention.sliding_window": 0},
    ),
    "mellum": ("mellum", {**_WINDOW, **_EXPERTS}),
    "laguna": ("laguna", {**_WINDOW, **_SHARED}),
    "afmoe": ("afmoe", {**_WINDOW, **_SHARED}),
    "muse-glimmer": ("muse-glimmer", {**_WINDOW, **_EXPERTS, **_SCALES}),
    "maple": ("maple", {**_STATED, **_EXPERTS, "swiglu_clamp_exp": [1.0] * 6}),
    "mimo2": ("mimo2", {**_STATED, **_EXPERTS}),
    "step35": ("step35", {**_STATED, **_SHARED}),
    "spark2_5": ("spark2_5", _STATED),
    "granite_swa": ("granite_swa", {**_STATED, **_SCALES}),
    "lfm2": ("lfm2", {**_SOME_HEADS, "shortconv.l_cache": 3}),
    "lfm2 with a window": ("lfm2", {**_WINDOW, **_SOME_HEADS, "shortconv.l_cache": 3}),
    "lfm2moe": ("lfm2moe", {**_EXPERTS, **_SOME_HEADS, "shortconv.l_cache": 3}),
    "qwen35": ("qwen35", {**_SSM, **_SECTIONS}),
    "qwen35, another interval": ("qwen35", {**_SSM, **_SECTIONS, "full_attention_interval": 3}),
    "qwen35, layers stated": (
        "qwen35",
        {**_SSM, **_SECTIONS, "attention.recurrent_layers": flags("101110")},
    ),
    "qwen35moe": ("qwen35moe", {**_SSM, **_SECTIONS, **_SHARED}),
    "qwen3next": ("qwen3next", {**_SSM, **_SHARED}),
    "granitehybrid": ("granitehybrid", {**_SSM, **_SOME_HEADS}),
    "nemotron_h": ("nemotron_h", _NEMOTRON),
    "nemotron_h_moe": (
        "nemotron_h_moe",
        {**_NEMOTRON, **_SHARED, "expert_weights_norm": True, "expert_weights_scale": 1.0},
    ),
    "falcon-h1": ("falcon-h1", _SSM),
    "jamba": ("jamba", {**_SSM, **_EXPERTS, **_SOME_HEADS, "ssm.group_count": None}),
    "plamo2": ("plamo2", {**_SSM, **_SOME_HEADS, "ssm.group_count": 0}),
    "mamba": ("mamba", {**_SSM, **_NO_HEADS, "ssm.group_count": None}),
    "mamba2": ("mamba2", {**_SSM, **_NO_HEADS}),
    "rwkv6": (
        "rwkv6",
        {
            **_NO_HEADS,
            "wkv.head_size": 64,
            "time_mix_extra_dim": 32,
            "time_decay_extra_dim": 32,
        },
    ),
    "rwkv7": (
        "rwkv7",
        {
            **_NO_HEADS,
            "wkv.head_size": 64,
            "attention.decay_lora_rank": 32,
            "attention.iclr_lora_rank": 32,
            "attention.value_residual_mix_lora_rank": 32,
            "attention.gate_lora_rank": 32,
        },
    ),
    "deepseek2": ("deepseek2", _LATENT),
    "kimi-linear": (
        "kimi-linear",
        {
            **_LATENT,
            "attention.head_count_kv": [0, 1, 0, 0, 1, 0],
            "kda.head_dim": 64,
            "ssm.conv_kernel": 4,
        },
    ),
    "minimax-01": (
        "minimax-01",
        {**_EXPERTS, **_SCALES, "full_attention_interval": 3},
    ),
    "glm-dsa": (
        "glm-dsa",
        {
            **_LATENT,
            "attention.indexer.head_count": 4,
            "attention.indexer.key_length": 128,
            "attention.indexer.top_k": 64,
        },
    ),
    "nanbeige": ("nanbeige", {"num_loops": 2}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RealShape:
    """A published model.

    Attributes:
        n_params: millions of weights.
    """

    architecture: str
    n_params: int
    keys: Keys

    @property
    def weights_bytes(self) -> int:
        """What its file takes, roughly."""
        return round(self.n_params * 1e6 * _BYTES_PER_WEIGHT)


def _real(
    architecture: str,
    n_params: int,
    *,
    layers: int,
    width: int,
    feed_forward: int,
    heads: int,
    kv_heads: int | list[int],
    head: int,
    vocab: int,
    **more: Any,
) -> RealShape:
    keys = {
        "block_count": layers,
        "embedding_length": width,
        "feed_forward_length": feed_forward,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": head,
        "vocab_size": vocab,
    }
    return RealShape(architecture, n_params, keys | more.get("keys", {}))


def _ssm(inner: int, heads: int, groups: int) -> dict[str, Any]:
    return {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": inner,
        "ssm.state_size": 128,
        "ssm.time_step_rank": heads,
        "ssm.group_count": groups,
    }


def _at(places: list[int], n_layer: int, heads: int) -> list[int]:
    return [heads if layer in places else 0 for layer in range(n_layer)]


_LFM2_LAYERS = [2, 5, 8, 10, 12, 14]
_QWEN35: Keys = {"rope.dimension_count": 64, **_SECTIONS}

REAL: Mapping[str, RealShape] = {
    "SmolLM2-135M": _real(
        "llama", 135, layers=30, width=576, feed_forward=1536, heads=9, kv_heads=3, head=64,
        vocab=49_152,
    ),
    "Qwen2.5-0.5B": _real(
        "qwen2", 494, layers=24, width=896, feed_forward=4864, heads=14, kv_heads=2, head=64,
        vocab=151_936,
    ),
    "Qwen3-0.6B": _real(
        "qwen3", 596, layers=28, width=1024, feed_forward=3072, heads=16, kv_heads=8, head=128,
        vocab=151_936,
    ),
    "Qwen3-4B": _real(
        "qwen3", 4022, layers=36, width=2560, feed_forward=9728, heads=32, kv_heads=8, head=128,
        vocab=151_936,
    ),
    "Llama-3.2-1B": _real(
        "llama", 1236, layers=16, width=2048, feed_forward=8192, heads=32, kv_heads=8, head=64,
        vocab=128_256,
    ),
    "Gemma-3-270M": _real(
        "gemma3", 268, layers=18, width=640, feed_forward=2048, heads=4, kv_heads=1, head=256,
        vocab=262_144, keys={"attention.sliding_window": 512},
    ),
    "Gemma-3-1B": _real(
        "gemma3", 1000, layers=26, width=1152, feed_forward=6912, heads=4, kv_heads=1, head=256,
        vocab=262_144, keys={"attention.sliding_window": 512},
    ),
    "Gemma-3-4B": _real(
        "gemma3", 3880, layers=34, width=2560, feed_forward=10_240, heads=8, kv_heads=4, head=256,
        vocab=262_208, keys={"attention.sliding_window": 1024},
    ),
    "Gemma-3n-E2B": _real(
        "gemma3n", 4460, layers=30, width=2048, feed_forward=8192, heads=8, kv_heads=2, head=256,
        vocab=262_144,
        keys={"attention.sliding_window": 512, "embedding_length_per_layer_input": 256},
    ),
    "gpt-oss-20b": _real(
        "gpt-oss", 20_900, layers=24, width=2880, feed_forward=2880, heads=64, kv_heads=8, head=64,
        vocab=201_088,
        keys={
            "attention.sliding_window": 128,
            "expert_count": 32,
            "expert_used_count": 4,
            "expert_feed_forward_length": 2880,
        },
    ),
    "Qwen3.5-0.8B": _real(
        "qwen35", 752, layers=24, width=1024, feed_forward=3584, heads=8, kv_heads=2, head=256,
        vocab=248_320, keys={**_QWEN35, **_ssm(2048, 16, 16)},
    ),
    "Qwen3.5-4B": _real(
        "qwen35", 4206, layers=32, width=2560, feed_forward=9216, heads=16, kv_heads=4, head=256,
        vocab=248_320, keys={**_QWEN35, **_ssm(4096, 32, 16)},
    ),
    "LFM2.5-350M": _real(
        "lfm2", 354, layers=16, width=1024, feed_forward=4608, heads=16,
        kv_heads=_at(_LFM2_LAYERS, 16, 8), head=64, vocab=65_536, keys={"shortconv.l_cache": 3},
    ),
    "LFM2.5-1.2B": _real(
        "lfm2", 1170, layers=16, width=2048, feed_forward=8192, heads=32,
        kv_heads=_at(_LFM2_LAYERS, 16, 8), head=64, vocab=65_536, keys={"shortconv.l_cache": 3},
    ),
    "Granite-4.0-H-350M": _real(
        "granitehybrid", 340, layers=32, width=768, feed_forward=2048, heads=12,
        kv_heads=_at([10, 13, 17, 27], 32, 4), head=64, vocab=100_352, keys=_ssm(1536, 48, 1),
    ),
    "Granite-4.0-H-1B": _real(
        "granitehybrid", 1460, layers=40, width=1536, feed_forward=4096, heads=12,
        kv_heads=_at([5, 15, 25, 35], 40, 4), head=128, vocab=100_352, keys=_ssm(3072, 48, 1),
    ),
}  # fmt: skip
