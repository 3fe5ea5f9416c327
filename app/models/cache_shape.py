"""Owns how much a model keeps of a sequence; must know nothing of contexts or of bytes.

The layouts are llama.cpp's: keys and values of the layers that attend, and for recurrent layers a
state whose size does not depend on the number of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.models.layer_kinds import LayerKind, layer_kinds, window
from app.models.metadata import MAX_LAYERS, Metadata

_KDA_CONV_KERNEL = 4
_TOKEN_SHIFTS = 2


@dataclass(frozen=True, slots=True)
class AttentionLayers:
    """Layers that attend in the same way.

    Attributes:
        n_layers: how many there are.
        n_keys: elements that the keys of one token take in all of them; likewise `n_values`.
        n_padded_values: elements of the values where all layers are padded to the widest one.
    """

    n_layers: int = 0
    n_keys: int = 0
    n_values: int = 0
    n_padded_values: int = 0


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What a model keeps of a sequence.

    Attributes:
        attending: layers that attend to all tokens.
        sliding: layers that attend to the last `window` tokens.
        window: 0 without sliding layers.
        state_elements: elements of the recurrent state of one sequence.
    """

    attending: AttentionLayers = AttentionLayers()
    sliding: AttentionLayers = AttentionLayers()
    window: int = 0
    state_elements: int = 0


@dataclass(frozen=True, slots=True)
class _Layer:
    kind: LayerKind
    n_keys: int
    n_values: int
    times: int = 1


def cache_shape(metadata: Metadata) -> CacheShape:
    """Return what a model keeps of a sequence.

    Raises:
        GgufError: the number of layers or of heads is not a whole number.
    """
    layers = _layers(metadata)
    widest = max((layer.n_values for layer in layers), default=0)
    attending = [layer for layer in layers if layer.kind.attends]
    return CacheShape(
        attending=_summed((layer for layer in attending if not layer.kind.slides), widest),
        sliding=_summed((layer for layer in attending if layer.kind.slides), widest),
        window=window(metadata) if any(layer.kind.slides for layer in attending) else 0,
        state_elements=sum(layer.times for layer in layers if layer.kind.recurs)
        * layer_state(metadata),
    )


def _layers(metadata: Metadata) -> list[_Layer]:
    kinds = layer_kinds(metadata)
    heads = metadata.per_layer("attention.head_count", len(kinds))
    kv_heads = metadata.per_layer("attention.head_count_kv", len(kinds), heads)
    length = _head_length(metadata)
    key_length = metadata.size("attention.key_length", length)
    value_length = metadata.size("attention.value_length", length)
    sliding_key_length = metadata.size("attention.key_length_swa", key_length)
    sliding_value_length = metadata.size("attention.value_length_swa", value_length)
    has_values = not is_latent(metadata)
    indexed = metadata.size("attention.indexer.key_length")
    layers = [
        _Layer(
            kind,
            n_heads * (sliding_key_length if kind.slides else key_length) + indexed,
            n_heads * (sliding_value_length if kind.slides else value_length) * has_values,
        )
        for kind, n_heads in zip(kinds, kv_heads, strict=True)
    ]
    beyond = metadata.size("block_count") - MAX_LAYERS
    if beyond > 0:  # a header without sense, whose model is too large whatever it is
        layers[-1] = replace(layers[-1], times=1 + beyond)
    if metadata.architecture == "graniteswitch":  # a layer with one head that picks adapters
        layers.append(_Layer(LayerKind(), key_length, value_length))
    if metadata.architecture == "nanbeige":  # runs through its layers several times
        layers *= min(metadata.size("num_loops", 1), MAX_LAYERS // max(1, len(layers)))
    return layers


def _summed(layers: Iterable[_Layer], widest: int) -> AttentionLayers:
    found = list(layers)
    return AttentionLayers(
        n_layers=sum(layer.times for layer in found),
        n_keys=sum(layer.times * layer.n_keys for layer in found),
        n_values=sum(layer.times * layer.n_values for layer in found),
        n_padded_values=sum(layer.times for layer in found) * widest,
    )


def _head_length(metadata: Metadata) -> int:
    heads = metadata.per_layer("attention.head_count", 1)
    return metadata.size("embedding_length") // heads[0] if heads[0] else 0


def is_latent(metadata: Metadata) -> bool:
    """Say whether keys and values are one compressed vector (multi-head latent attention)."""
    lengths = ("attention.key_length_mla", "attention.value_length_mla")
    return all(map(metadata.size, lengths))


def layer_state(metadata: Metadata) -> int:
    """Return the elements of one layer's state: of its convolution, and of its recurrence."""
    n_embd = metadata.size("embedding_length")
    if head_size := metadata.size("wkv.head_size"):
        return n_embd * (metadata.size("token_shift_count", _TOKEN_SHIFTS) + head_size)
    if short_conv := metadata.size("shortconv.l_cache"):
        return n_embd * (short_conv - 1)
    n_head = metadata.per_layer("attention.head_count", 1)[0]
    kernel = metadata.size("ssm.conv_kernel")
    if head_size := metadata.size("kda.head_dim"):
        width = n_head * head_size
        return 3 * ((kernel or _KDA_CONV_KERNEL) - 1) * width + head_size * width
    inner, state = metadata.size("ssm.inner_size"), metadata.size("ssm.state_size")
    if metadata.architecture == "minimax-01":
        length = metadata.size("attention.key_length", _head_length(metadata))
        return length * length * n_head
    groups = metadata.size("ssm.group_count")
    return max(0, kernel - 1) * (inner + 2 * groups * state) + state * inner
