"""Owns DRY samplers that are ready to be copied.

Making one looks through the whole vocabulary for each sequence breaker: 30 ms for llama.cpp's own
four and 152,000 tokens. A copy costs nothing.
"""

from __future__ import annotations

import ctypes
from typing import Any

from app.engine.decode.sampling import Stage
from app.engine.llama.bindings import lib

_MAX_CACHED = 4  # 15 MB each where eight letters are the breakers, and 0.2 MB with llama.cpp's own


class DryPrototypes:
    """The last few DRY samplers that requests asked for.

    Args:
        vocab: llama.cpp's vocabulary.
    """

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self._cache: dict[Stage, Any] = {}

    def copy(self, stage: Stage) -> Any:
        """Return a sampler for `stage` that has seen no tokens."""
        prototype = self._cache.pop(stage, None) or self._make(stage)
        self._cache[stage] = prototype
        if len(self._cache) > _MAX_CACHED:
            lib.llama_sampler_free(self._cache.pop(next(iter(self._cache))))
        return lib.llama_sampler_clone(prototype)

    def forget(self) -> None:
        """Free them; copies stay."""
        for prototype in self._cache.values():
            lib.llama_sampler_free(prototype)
        self._cache.clear()

    def _make(self, stage: Stage) -> Any:
        texts = [text.encode() for text in dict.fromkeys(stage.texts)]
        breakers = (ctypes.c_char_p * len(texts))(*texts)
        return lib.llama_sampler_init_dry(self._vocab, *stage.values, breakers, len(texts))
