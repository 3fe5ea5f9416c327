"""Owns the estimate of a model's memory; must know nothing of processes or loading.

All figures are conservative estimates from the header alone; the exact ones are known only after
the allocation. Layouts are llama.cpp's, see each function.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.device.kernel_files import fields, number, own_cgroups
from app.models.cache_shape import AttentionLayers, CacheShape
from app.models.facts import ModelFacts
from app.models.gguf.tensors import TENSOR_TYPES
from app.parameters.cache_types import GGML_TYPES, PLAIN_TYPES, CacheType
from app.parameters.rollback import n_rollback
from app.protocol import LoadParams, QueueParams

N_CTX_STEP = 256
MIN_N_CTX = 256
HEADROOM = 0.10
DEFAULT_N_SEQ_MAX = QueueParams().n_seq_max

_GIB = 1024**3
_F32_BYTES = 4
_TYPICAL_N_VOCAB = 152_000
N_MORE_OUTPUTS = 7  # as many as the engine drafts tokens
_SLACK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory of an engine with one model, in bytes; the total includes `HEADROOM`."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    total_bytes: int

    @property
    def bare_bytes(self) -> int:
        """The parts without `HEADROOM`."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


def kv_bytes(facts: ModelFacts, params: LoadParams, n_seq_max: int = DEFAULT_N_SEQ_MAX) -> int:
    """Return the bytes of the KV cache, recurrent states included.

    Layers with a sliding window keep the window of each sequence and one micro-batch. Recurrent
    states are of 32 bits, whatever the types of keys and values; some are there several times.

    Args:
        n_seq_max: sequences in the KV cache.

    Raises:
        KeyError: a cache type that llama.cpp does not have.
    """
    cache = facts.cache
    n_attending, n_sliding = _cells(cache, params, n_seq_max)
    attending = n_attending * _token_bytes(cache.attending, params)
    sliding = n_sliding * _token_bytes(cache.sliding, params)
    n_states = n_seq_max * (1 + n_rollback(facts.architecture, cache.window))
    return attending + sliding + n_states * cache.state_elements * _F32_BYTES


def estimate(
    facts: ModelFacts, file_size: int, params: LoadParams, n_seq_max: int = DEFAULT_N_SEQ_MAX
) -> MemoryEstimate:
    """Return the memory that a model needs with these parameters.

    Weights count in full although they are mapped from the file: decoding reads all of them for
    every token, so that a device without room for them reads its disk instead.

    Args:
        file_size: bytes of the model's file, or of all its parts.
        n_seq_max: sequences in the KV cache.
    """
    kv = kv_bytes(facts, params, n_seq_max)
    compute = _compute_bytes(facts, params, n_seq_max)
    total = math.ceil((file_size + kv + compute) * (1 + HEADROOM))
    return MemoryEstimate(file_size, kv, compute, total)


def largest_n_ctx(
    facts: ModelFacts,
    file_size: int,
    params: LoadParams,
    available: int,
    n_seq_max: int = DEFAULT_N_SEQ_MAX,
) -> int:
    """Return the largest context up to `params.n_ctx` that fits, in whole steps of 256 tokens.

    Args:
        available: bytes that may be used.
        n_seq_max: sequences in the KV cache.

    Returns:
        0 if not even one step fits.
    """
    low, high = 0, params.n_ctx // N_CTX_STEP
    while low < high:
        middle = (low + high + 1) // 2
        wanted = _with_n_ctx(params, middle * N_CTX_STEP)
        if estimate(facts, file_size, wanted, n_seq_max).total_bytes <= available:
            low = middle
        else:
            high = middle - 1
    return low * N_CTX_STEP


def clamp_n_ctx(
    requested: int,
    facts: ModelFacts,
    file_size: int,
    params: LoadParams,
    available: int,
    n_seq_max: int = DEFAULT_N_SEQ_MAX,
) -> tuple[int, str | None]:
    """Return the context to load with, and why it differs from the requested one.

    The limits are the training context (scaled by `rope_freq_scale`) and the memory. A clamped
    value is a multiple of 256 and never below 256.

    Args:
        params: all other parameters of the load; its `n_ctx` is ignored.
        available: bytes that may be used.
        n_seq_max: sequences in the KV cache.
    """
    n_ctx, reason = requested, None
    trained = _trained_n_ctx(facts, params)
    if trained and n_ctx > trained:
        n_ctx = _floored(trained)
        reason = f"the model was trained for a context of {trained} tokens"
    wanted = _with_n_ctx(params, n_ctx)
    needed = estimate(facts, file_size, wanted, n_seq_max).total_bytes
    if needed > available:
        reason = (
            f"a context of {n_ctx} tokens needs {needed / _GIB:.1f} GiB of memory, "
            f"{available / _GIB:.1f} GiB are available"
        )
        most = largest_n_ctx(facts, file_size, wanted, available, n_seq_max)
        n_ctx = min(n_ctx, _floored(most))
    return (n_ctx, reason) if n_ctx < requested else (requested, None)


def shortage(needed: MemoryEstimate, n_ctx: int, available: int) -> str:
    """Return a sentence with the memory that a model needs and the memory available."""
    parts = (needed.bare_bytes, needed.weights_bytes, needed.kv_bytes, needed.compute_bytes)
    total, weights, kv, compute = (f"{n_bytes / _GIB:.1f}" for n_bytes in parts)
    return (
        f"even with a context of {n_ctx} tokens it needs {total} GiB of memory (weights {weights}, "
        f"KV cache {kv}, compute buffers {compute}), {max(0, available) / _GIB:.1f} GiB are "
        "available"
    )


def available_bytes(root: Path = Path("/")) -> int:
    """Return the bytes this process may still use before the system or its cgroup is full.

    Sources: `MemAvailable` in /proc/meminfo, and the limits of this process's cgroup and of all
    above it (version 2: memory.max and memory.high; version 1: memory.limit_in_bytes), minus
    usage. Page cache counts as free, because the kernel can reclaim it.

    Args:
        root: the folder that contains proc and sys.

    Returns:
        `sys.maxsize` on a system that has neither source.
    """
    meminfo = fields(root / "proc/meminfo").get("MemAvailable")
    system = sys.maxsize if meminfo is None else meminfo * 1024
    return max(0, min([system, *_cgroup_rooms(root)]))


# ---------------------------------------------------------------- estimating


def _with_n_ctx(params: LoadParams, n_ctx: int) -> LoadParams:
    return msgspec.structs.replace(params, n_ctx=n_ctx)


def _padded(n_ctx: int) -> int:
    """llama.cpp rounds a context up to whole steps."""
    return max(MIN_N_CTX, math.ceil(n_ctx / N_CTX_STEP) * N_CTX_STEP)


def _floored(n_ctx: int) -> int:
    return max(MIN_N_CTX, n_ctx // N_CTX_STEP * N_CTX_STEP)


def _cells(cache: CacheShape, params: LoadParams, n_seq_max: int) -> tuple[int, int]:
    """Return the tokens that all sequences can keep in layers without and with a window."""
    n_ctx = _padded(params.n_ctx)
    sliding = min(n_ctx, _padded(cache.window * n_seq_max + _n_ubatch(params)))
    return (
        n_ctx if cache.attending.n_layers else 0,
        sliding if cache.sliding.n_layers else 0,
    )


def _n_ubatch(params: LoadParams) -> int:
    return min(params.n_ubatch, params.n_batch, params.n_ctx)


def _token_bytes(layers: AttentionLayers, params: LoadParams) -> int:
    """Return the bytes of one token's keys and values in these layers."""
    padded = params.flash_attn is False and layers.n_values
    n_values = layers.n_padded_values if padded else layers.n_values
    return _cache_bytes(layers.n_keys, params.type_k) + _cache_bytes(n_values, params.type_v)


def _cache_bytes(n_elements: int, cache_type: CacheType) -> int:
    block_elements, block_bytes = TENSOR_TYPES[GGML_TYPES[cache_type]]
    return math.ceil(n_elements / block_elements) * block_bytes


def _compute_bytes(facts: ModelFacts, params: LoadParams, n_seq_max: int) -> int:
    """Estimate llama.cpp's compute buffer, which it sizes for one full micro-batch.

    Per token: activations, and the attention mask of each of the two caches (16 bits with flash
    attention, else 32 and the scores of all heads). Logits only for the few tokens that the
    engine asks them for. `tests/host/test_memory_of_shapes.py` compares with llama.cpp's figures.
    """
    n_tokens = math.ceil(_n_ubatch(params) / n_seq_max) * n_seq_max
    compute, queries = facts.compute, facts.n_head * facts.key_length
    caches = _cells(facts.cache, params, n_seq_max)
    per_token = compute.widest
    if params.flash_attn is False:
        mask = sum(caches)
        per_token = max(per_token, compute.scoring + facts.n_head * max(caches))
    else:
        mask = math.ceil(sum(caches) / 2)
    recurring = n_tokens * compute.recurring + n_seq_max * compute.states
    prompt = n_tokens * mask + max(n_tokens * per_token, recurring)
    if not {params.type_k, params.type_v} <= set(PLAIN_TYPES):  # keys and values are rotated
        prompt += n_tokens * queries // 2 + 4 * facts.key_length**2
    n_vocab = facts.n_vocab or _TYPICAL_N_VOCAB
    n_outputs = n_seq_max + N_MORE_OUTPUTS
    answer = n_outputs * (n_vocab + per_token)
    return (max(prompt, answer) + n_outputs * n_vocab) * _F32_BYTES + _SLACK_BYTES


def _trained_n_ctx(facts: ModelFacts, params: LoadParams) -> int:
    scale = params.rope_freq_scale
    if scale is not None and 0 < scale < 1:
        return int(min(facts.n_ctx_train / scale, sys.maxsize))
    return facts.n_ctx_train


# ---------------------------------------------------------------- available memory


def _cgroup_rooms(root: Path) -> Iterator[int]:
    """Yield the free bytes of each limited cgroup that this process is in."""
    for cgroup in own_cgroups(root):
        yield from (_room_v2 if cgroup.version == 2 else _room_v1)(cgroup.folder)


def _room_v2(folder: Path) -> Iterator[int]:
    limits = [number(folder / name) for name in ("memory.max", "memory.high")]
    used = number(folder / "memory.current")
    stat = fields(folder / "memory.stat")
    cached = stat.get("inactive_file", 0) + stat.get("active_file", 0)
    if used is not None:
        yield from (limit - max(0, used - cached) for limit in limits if limit is not None)


def _room_v1(folder: Path) -> Iterator[int]:
    limit, used = (number(folder / f"memory.{name}_in_bytes") for name in ("limit", "usage"))
    stat = fields(folder / "memory.stat")
    cached = stat.get("total_inactive_file", 0) + stat.get("total_active_file", 0)
    if limit is not None and used is not None:
        yield limit - max(0, used - cached)
