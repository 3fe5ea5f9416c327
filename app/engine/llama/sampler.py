"""Owns a chain of llama.cpp samplers; what goes into it is decided in `app.engine.decode.sampling`.

llama.cpp's own way to sample copies the logits of the whole vocabulary. Two shortcuts choose the
same tokens: the best one is looked up in the logits, and where a grammar allows few, only those
are handed to the chain.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.decode.sampling import Stage
from app.engine.llama.bindings import lib
from app.engine.llama.context import Context
from app.engine.llama.model import Model

_FEW = 8192
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """A chain of llama.cpp samplers with its own random state and token history."""

    def __init__(self, stages: Sequence[Stage], model: Model):
        names = [stage.name for stage in stages]
        self._takes_best = names == ["greedy"]
        self._adapts = any(name.startswith("mirostat") for name in names)
        self._n_vocab = model.n_vocab
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

    def sample(self, context: Context, output: int, allowed: bytes | None = None) -> int:
        """Choose the next token from the `output`-th row of the last step's logits.

        Args:
            allowed: a bit for each token, the lowest bit of a byte first; what it does not allow
                may be taken out of the row. None allows all.
        """
        if allowed is not None:
            bits = np.frombuffer(allowed, np.uint8)
            is_allowed = np.unpackbits(bits, count=self._n_vocab, bitorder="little").view(np.bool_)
            if np.count_nonzero(is_allowed) <= _FEW:
                return self._sample_few(context.logits(output), np.flatnonzero(is_allowed))
            context.forbid(output, ~is_allowed)
        if self._takes_best:
            return int(context.logits(output).argmax())
        token: int = lib.llama_sampler_sample(self._chain, context.handle, output)
        return token

    def _sample_few(self, logits: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]) -> int:
        """Choose one of the tokens `ids`, of which there may be none."""
        if self._takes_best or not len(ids):
            return int(ids[logits[ids].argmax()]) if len(ids) else int(logits.argmax())
        candidates = np.zeros(len(ids), _CANDIDATE)
        candidates["id"], candidates["logit"] = ids, logits[ids]
        token = self._apply(candidates)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def _apply(self, candidates: npt.NDArray[np.void]) -> int:
        data = candidates.ctypes.data_as(lib.llama_token_data_p)
        array = lib.llama_token_data_array(
            data=data, size=len(candidates), selected=-1, sorted=False
        )
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def accept(self, tokens: Iterable[int]) -> None:
        """Put tokens into the history that penalties and DRY look at."""
        for token in tokens:
            lib.llama_sampler_accept(self._chain, token)

    def draw(self, n_times: int) -> None:
        """Bring the random state to where so many choices leave it; mirostat's stays as it is."""
        if self._takes_best or self._adapts:
            return
        for _ in range(n_times):
            pair = np.zeros(2, _CANDIDATE)  # of two, every sampler that draws does
            pair["id"] = 0, 1
            self._apply(pair)

    def close(self) -> None:
        """Give the chain back."""
        lib.llama_sampler_free(self._chain)


def _logit_bias(pairs: Sequence[tuple[int, float]], n_vocab: int) -> Any:
    biases = [lib.llama_logit_bias(*pair) for pair in pairs]
    array = (lib.llama_logit_bias * len(biases))(*biases)
    return lib.llama_sampler_init_logit_bias(n_vocab, len(biases), array)
