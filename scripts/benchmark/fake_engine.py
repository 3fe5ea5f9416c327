"""Owns an engine process that only pretends to compute; started as `app.engine.main` is.

All of it is the real engine, from the socket to the batch and the way from a token to text. Only
two calls into llama.cpp are replaced, `llama_decode` and `llama_sampler_sample`, so that what is
left is what we spend ourselves on a token.

BENCH_FAKE_STEP_MS is the CPU time that a step burns, as a real one would; 0 answers at once.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import llama_cpp.llama_cpp as lib

from app.engine.llama import Context, Sampler
from app.engine.main import main

_TEXT = b"The lamp in the hall is on, and it has been on since seven in the morning. "


def _make_decode(step_s: float) -> Any:
    def decode(_context: Any, _batch: Any) -> int:
        done_s = time.thread_time() + step_s
        while time.thread_time() < done_s:
            pass
        return 0

    return decode


def _make_sample() -> Any:
    tokens: Iterator[int] | None = None

    def sample(_sampler: Sampler, context: Context, _row: int, _allowed: object = None) -> int:
        nonlocal tokens
        if tokens is None:
            tokens = itertools.cycle(_token_ids(context.handle))
        return next(tokens)

    return sample


def _token_ids(context: Any) -> list[int]:
    """Return the tokens of a text, in the vocabulary of the context's model."""
    vocabulary = lib.llama_model_get_vocab(lib.llama_get_model(context))
    ids = (lib.llama_token * len(_TEXT))()
    n_tokens = lib.llama_tokenize(
        vocabulary,
        _TEXT,
        len(_TEXT),
        ids,
        len(_TEXT),
        False,
        False,  # no special tokens
    )
    return list(ids[:n_tokens])


if __name__ == "__main__":
    lib.llama_decode = _make_decode(float(os.environ.get("BENCH_FAKE_STEP_MS", "0")) / 1000.0)
    Sampler.sample = _make_sample()  # type: ignore[method-assign]
    sys.exit(main(sys.argv))
