"""Owns the bundled model as the tests of `app.engine.llama` load it."""

from __future__ import annotations

from pathlib import Path

from app.engine.llama import BatchPart, Context, Model
from app.protocol import LoadParams

NANO = Path(__file__).resolve().parents[3] / "models" / "distiller-nano-3m-q8_0.gguf"
PARAMS = LoadParams(n_ctx=512, n_threads=1)
TEXT = "Tell me something about the moon, please."


def load_model() -> Model:
    return Model(NANO, PARAMS, lambda _: None)


def new_context(model: Model, *, n_seq_max: int = 3, n_more_outputs: int = 16) -> Context:
    return Context(model, PARAMS, n_seq_max=n_seq_max, n_threads=1, n_more_outputs=n_more_outputs)


def prefill(context: Context, seq_id: int, tokens: list[int], start: int = 0) -> None:
    """Decode all tokens from `start` on; the last one has logits."""
    assert context.decode([BatchPart(seq_id, start, tokens[start:], n_logits=1)]) == 0
