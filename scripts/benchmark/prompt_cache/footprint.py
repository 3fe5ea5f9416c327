"""Owns what a shape's context weighs, by arithmetic: attention of a token, one recurrent state."""

from __future__ import annotations

from typing import Any

from scripts.benchmark.architectures import Sizes, is_recurrent

_F16, _F32 = 2, 4
_CONV_KEPT = 3  # inputs of a convolution of width 4 that the next token needs
_SHORT_KEPT = 2  # of width 3


def token_bytes(shape: str, **sizes: Any) -> int:
    """Return the bytes of a token's keys and values in all attention layers, as f16."""
    wanted = Sizes(**sizes)
    n_layers = is_recurrent(shape, wanted).count(False)
    return n_layers * 2 * wanted.n_head_kv * wanted.n_embd_head * _F16


def state_bytes(shape: str, **sizes: Any) -> int:
    """Return the bytes of the state of all recurrent layers, as f32; 0 where there are none."""
    wanted = Sizes(**sizes)
    width, state = wanted.n_embd, wanted.n_state
    per_layer = {
        "lfm2": _SHORT_KEPT * width,
        "qwen35": width * state + _CONV_KEPT * 3 * width,
        "granitehybrid": 2 * width * state + _CONV_KEPT * (2 * width + 2 * state),
    }
    return is_recurrent(shape, wanted).count(True) * per_layer.get(shape, 0) * _F32
