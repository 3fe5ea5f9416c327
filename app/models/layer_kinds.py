"""Owns which layers of a model attend, slide a window or keep a recurrent state.

The rules are those of the locked version of llama.cpp, which derives the kinds from the
architecture and a few keys; `tests/models/test_layer_kinds.py` holds them against the library.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.models.metadata import MAX_LAYERS, Metadata


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What a layer keeps of a sequence.

    Attributes:
        attends: keys and values of tokens.
        slides: only those in the window.
        recurs: a state of fixed size.
    """

    attends: bool = True
    slides: bool = False
    recurs: bool = False


@dataclass(frozen=True, slots=True)
class SlidingRule:
    """How an architecture slides a window.

    Attributes:
        period: one layer in so many attends to everything, unless the header states another
            period or says it for each layer; 0 if none does.
        is_first: whether it is the first of them, not the last.
        default_window: tokens of the window where the header states none.
        fixed_window: tokens of the window where the header states any.
        n_layer: a model with another number of layers has no window.
    """

    period: int
    is_first: bool = False
    default_window: int = 0
    fixed_window: int | None = None
    n_layer: int | None = None


_EACH_STATED = SlidingRule(1)  # the header says it for each layer

# Other architectures have no window, whatever their header states.
SLIDING = {
    "afmoe": SlidingRule(4),
    "cohere2": SlidingRule(4),
    "cohere2moe": SlidingRule(4, is_first=True),
    "dots3note": _EACH_STATED,
    "exaone-moe": SlidingRule(4, default_window=128),
    "exaone4": SlidingRule(4, default_window=4096, n_layer=64),
    "gemma2": SlidingRule(2, default_window=4096),
    "gemma3": SlidingRule(6),
    "gemma3n": SlidingRule(5),
    "gemma4": _EACH_STATED,
    "gpt-oss": SlidingRule(2),
    "granite_swa": _EACH_STATED,
    "laguna": SlidingRule(4, is_first=True),
    "lfm2": SlidingRule(0),
    "llama4": SlidingRule(4, default_window=8192, fixed_window=8192),
    "maple": _EACH_STATED,
    "mellum": SlidingRule(4),
    "mimo2": _EACH_STATED,
    "muse-glimmer": SlidingRule(4),
    "olmo2": SlidingRule(4),
    "plamo3": SlidingRule(8),
    "smallthinker": SlidingRule(4, is_first=True, fixed_window=4096),
    "spark2_5": _EACH_STATED,
    "step35": _EACH_STATED,
}

# Layers without key/value heads are recurrent.
HYBRID_BY_HEADS = frozenset({
    "bailingmoe3", "glm5-next", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2",
    "lfm2moe", "plamo2",
})  # fmt: skip
# As above, but layers with a feed-forward network have neither attention nor a state.
HYBRID_BY_HEADS_OR_FEED_FORWARD = frozenset({"nemotron_h", "nemotron_h_moe"})
# One layer in so many attends, unless the header states another interval or says it for each.
HYBRID_BY_INTERVAL = {
    "minimax-01": 8, "qwen35": 4, "qwen35moe": 4, "qwen3next": 4, "qwen4exp": 4,
}  # fmt: skip
# Every layer attends and has a state too.
HYBRID_IN_EACH_LAYER = frozenset({"falcon-h1"})
RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})

_GEMMA3N_LAYERS_WITH_KEYS = 20


def window(metadata: Metadata) -> int:
    """Return the tokens of a model's window; 0 without one."""
    rule = SLIDING.get(metadata.architecture)
    n_layer = metadata.count("block_count")
    if rule is None or (rule.n_layer is not None and n_layer != rule.n_layer):
        return 0
    tokens = metadata.size("attention.sliding_window", rule.default_window)
    return rule.fixed_window if tokens and rule.fixed_window else tokens


def layer_kinds(metadata: Metadata) -> tuple[LayerKind, ...]:
    """Return the kind of every layer that llama.cpp gives memory to."""
    architecture = metadata.architecture
    n_all = min(metadata.count("block_count"), MAX_LAYERS)
    n_layer = max(0, n_all - metadata.size("nextn_predict_layers")) or n_all
    if architecture in RECURRENT:
        return (LayerKind(attends=False, recurs=True),) * n_layer
    if architecture in HYBRID_IN_EACH_LAYER:
        return (LayerKind(recurs=True),) * n_layer
    recurs, attends = _recurs(metadata, n_layer), _attends(metadata, n_layer)
    slides = _slides(metadata, n_layer)
    return tuple(
        LayerKind(
            attends=attends[index] and not recurs[index],
            slides=slides[index] and not recurs[index],
            recurs=recurs[index],
        )
        for index in range(n_layer)
    )


def _recurs(metadata: Metadata, n_layer: int) -> list[bool]:
    architecture = metadata.architecture
    if architecture in HYBRID_BY_HEADS:
        return [not heads for heads in _kv_heads(metadata, n_layer)]
    if architecture in HYBRID_BY_HEADS_OR_FEED_FORWARD:
        widths = metadata.per_layer("feed_forward_length", n_layer)
        heads = _kv_heads(metadata, n_layer)
        return [not heads[index] and not widths[index] for index in range(n_layer)]
    interval = HYBRID_BY_INTERVAL.get(architecture)
    if interval is None:
        return [False] * n_layer
    stated = metadata.flags("attention.recurrent_layers")
    if stated is not None:
        return [*stated, *[False] * n_layer][:n_layer]
    interval = metadata.size("full_attention_interval", interval) or 1
    return [(index + 1) % interval != 0 for index in range(n_layer)]


def _attends(metadata: Metadata, n_layer: int) -> list[bool]:
    if metadata.architecture in HYBRID_BY_HEADS_OR_FEED_FORWARD:
        return [not width for width in metadata.per_layer("feed_forward_length", n_layer)]
    with_keys = n_layer
    if metadata.architecture == "gemma3n":
        with_keys = _GEMMA3N_LAYERS_WITH_KEYS
    elif metadata.architecture == "gemma4":
        with_keys = n_layer - metadata.size("attention.shared_kv_layers")
    return [index < with_keys for index in range(n_layer)]


def _slides(metadata: Metadata, n_layer: int) -> list[bool]:
    rule = SLIDING.get(metadata.architecture)
    if rule is None or not window(metadata):
        return [False] * n_layer
    stated = metadata.flags("attention.sliding_window_pattern")
    if stated is not None:
        return [*stated, *[False] * n_layer][:n_layer]
    period = metadata.size("attention.sliding_window_pattern", rule.period)
    whole = 0 if rule.is_first else period - 1
    return [not period or index % period != whole for index in range(n_layer)]


def _kv_heads(metadata: Metadata, n_layer: int) -> tuple[int, ...]:
    heads = metadata.per_layer("attention.head_count", n_layer)
    return metadata.per_layer("attention.head_count_kv", n_layer, heads)
