"""Owns how much a model computes with at once; must know nothing of contexts or of bytes.

llama.cpp reuses the memory of intermediate results, so that the widest part of a layer decides.
The factors bound from above what its allocator takes (`tests/host/test_memory_of_shapes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from app.models.cache_shape import is_latent, layer_state
from app.models.layer_kinds import HYBRID_BY_INTERVAL, HYBRID_IN_EACH_LAYER
from app.models.metadata import Metadata

_RWKV_WIDTHS = 20
_KDA_WIDTHS = 12
_ALTUP_STREAMS = 8  # gemma3n carries four variants of the embedding, and predicts four
_ALTUP_LAYER_INPUT = 256
_DELTA_NETS = frozenset({"qwen35", "qwen35moe"})  # queries, keys and values are one tensor


@dataclass(frozen=True, slots=True)
class ComputeShape:
    """Elements of 32 bits that intermediate results take.

    Attributes:
        widest: of one token, in the widest part of a layer.
        scoring: of one token, beside attention scores that are kept whole.
        recurring: of one token, beside recurrent states.
        states: of one sequence, for the recurrent states of a layer in use.
    """

    widest: int = 0
    scoring: int = 0
    recurring: int = 0
    states: int = 0


def compute_shape(metadata: Metadata) -> ComputeShape:
    """Return how much a model computes with at once.

    Raises:
        GgufError: a number of heads is not a whole number.
    """
    n_embd, queries = metadata.size("embedding_length"), _queries(metadata)
    beside, first = _per_layer_inputs(metadata)
    beside += 3 * n_embd
    is_gated = metadata.architecture in HYBRID_BY_INTERVAL
    attention = (4 if is_gated else 3 if is_latent(metadata) else 2) * queries
    feed_forward = max(n_embd, queries) + 3 * _feed_forward(metadata)
    recurrence = _recurrence(metadata)
    if metadata.architecture in HYBRID_IN_EACH_LAYER:
        recurrence += attention
    is_delta = metadata.architecture in _DELTA_NETS
    inner, conv = metadata.size("ssm.inner_size"), _conv_width(metadata)
    keeps_old = is_gated or bool(metadata.size("kda.head_dim"))
    return ComputeShape(
        widest=max(first, beside + max(attention, feed_forward, recurrence)),
        scoring=beside + n_embd + 4 * queries,
        recurring=beside + (2 * conv + 2 * inner if is_delta else recurrence),
        states=layer_state(metadata) * (2 if keeps_old else 1),
    )


def _queries(metadata: Metadata) -> int:
    n_head = max(metadata.per_layer("attention.head_count", 1), default=0)
    length = metadata.size("embedding_length") // n_head if n_head else 0
    return n_head * metadata.size("attention.key_length", length)


def _feed_forward(metadata: Metadata) -> int:
    """Return the width of a feed-forward network; that of its experts includes their results."""
    used = metadata.size("expert_used_count")
    experts = used * metadata.size("expert_feed_forward_length")
    shared = metadata.size("expert_shared_feed_forward_length")
    results = used * metadata.size("embedding_length") // 3
    return max(metadata.size("feed_forward_length"), experts + shared + results)


def _conv_width(metadata: Metadata) -> int:
    groups, state = metadata.size("ssm.group_count"), metadata.size("ssm.state_size")
    return metadata.size("ssm.inner_size") + 2 * groups * state


def _recurrence(metadata: Metadata) -> int:
    if metadata.size("wkv.head_size"):
        return _RWKV_WIDTHS * metadata.size("embedding_length")
    if head_size := metadata.size("kda.head_dim"):
        n_head = metadata.per_layer("attention.head_count", 1)[0]
        return _KDA_WIDTHS * n_head * head_size
    inner, conv = metadata.size("ssm.inner_size"), _conv_width(metadata)
    if metadata.architecture in _DELTA_NETS:
        return 3 * conv
    projected = conv + inner + metadata.size("ssm.time_step_rank")
    return projected + 2 * conv + 2 * inner if inner else 0


def _per_layer_inputs(metadata: Metadata) -> tuple[int, int]:
    """Return what layers are given besides the last one's result, and what making it takes."""
    n_embd, n_layer = metadata.size("embedding_length"), metadata.size("block_count")
    if metadata.architecture == "gemma3n":
        streams, inputs = _ALTUP_STREAMS * n_embd, n_layer * _ALTUP_LAYER_INPUT
        return streams + inputs, streams + 4 * inputs
    inputs = n_layer * metadata.size("embedding_length_per_layer_input")
    return (2 * (n_embd + inputs) if inputs else 0), 0
