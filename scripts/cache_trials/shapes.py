"""Owns the models of the trials: small ones that keep their context in five different ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmark.gguf_writer import F32
from scripts.benchmark.random_model import ensure_shape

_SMALL = {
    "n_layer": 4,
    "n_embd": 128,
    "n_head": 2,
    "n_head_kv": 1,
    "n_ff": 256,
    "matrix_type": F32,
}
_WINDOW = {"n_layer": 6, "n_window": 128}  # every prompt is longer
_MIXED = {"layers": "rrar"}


@dataclass(frozen=True)
class TrialShape:
    """A model that trials are made with.

    Attributes:
        architecture: of llama.cpp.
        text: how it keeps its context.
        sizes: what differs from the sizes of random models.
    """

    architecture: str
    text: str
    sizes: dict[str, Any] = field(default_factory=dict)

    def model(self, folder: Path | None = None) -> Path:
        """Return the path of the model, made first where it does not exist.

        Args:
            folder: where it is kept; None is the user's cache.
        """
        return ensure_shape(self.architecture, folder=folder, **_SMALL | self.sizes)


SHAPES = {
    "qwen3": TrialShape("qwen3", "dense: attention in every layer"),
    "lfm2": TrialShape("lfm2", "hybrid: short convolutions and attention", _MIXED),
    "gemma3": TrialShape(
        "gemma3", "sliding window in five of six layers", {"n_layer": 6, "n_window": 128}
    ),
    "qwen35": TrialShape("qwen35", "hybrid: delta nets and attention; thoughts are dropped"),
    "granitehybrid": TrialShape("granitehybrid", "hybrid: Mamba2 and attention", _MIXED),
}
