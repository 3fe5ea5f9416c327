"""Owns a chain of llama.cpp samplers; what goes into it is decided in `app.engine.sampling`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import llama_cpp.llama_cpp as lib

from app.engine.llama.context import Context
from app.engine.llama.model import Model
from app.engine.sampling import Stage


class Sampler:
    """A chain of llama.cpp samplers with its own random state and token history."""

    def __init__(self, stages: Sequence[Stage], model: Model):
        self._chain: Any = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for stage in stages:
            lib.llama_sampler_chain_add(self._chain, self._make(stage, model))

    def _make(self, stage: Stage, model: Model) -> Any:
        values = stage.values
        match stage.name:
            case "penalties":
                return lib.llama_sampler_init_penalties(model.n_vocab, *values)
            case "mirostat":
                return lib.llama_sampler_init_mirostat(model.n_vocab, *values)
            case "logit_bias":
                return _logit_bias(stage.biases, model.n_vocab)
            case "ignore_eos":
                never = [(token, -math.inf) for token in model.end_tokens]
                return _logit_bias(never, model.n_vocab)
            case "dry":
                return model.dry.copy(stage)
            case name:
                make: Callable[..., Any] = getattr(lib, f"llama_sampler_init_{name}")
                return make(*values)

    @property
    def names(self) -> list[str]:
        """llama.cpp's own names of the samplers, in their order."""
        links = range(lib.llama_sampler_chain_n(self._chain))
        chain = [lib.llama_sampler_chain_get(self._chain, index) for index in links]
        return [lib.llama_sampler_name(link).decode() for link in chain]

    def sample(self, context: Context, output: int) -> int:
        """Choose the next token from the `output`-th row of the last step's logits."""
        token: int = lib.llama_sampler_sample(self._chain, context.handle, output)
        return token

    def accept(self, tokens: Iterable[int]) -> None:
        """Put tokens into the history that penalties and DRY look at."""
        for token in tokens:
            lib.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Give the chain back."""
        lib.llama_sampler_free(self._chain)


def _logit_bias(pairs: Sequence[tuple[int, float]], n_vocab: int) -> Any:
    biases = [lib.llama_logit_bias(*pair) for pair in pairs]
    array = (lib.llama_logit_bias * len(biases))(*biases)
    return lib.llama_sampler_init_logit_bias(n_vocab, len(biases), array)
