"""What a context weighs by arithmetic is what llama.cpp saves of it."""

from __future__ import annotations

from pathlib import Path

import llama_cpp
import pytest

from scripts.benchmark.architectures import ARCHITECTURES
from scripts.benchmark.prompt_cache.footprint import state_bytes, token_bytes
from scripts.benchmark.random_model import shape

N_TOKENS = 200  # less than the window


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_saved_sequence_has_the_size_that_arithmetic_tells(name: str, tmp_path: Path) -> None:
    path = shape(name, tmp_path / "a.gguf")
    model = llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, verbose=False, flash_attn=True)
    model.eval(list(range(N_TOKENS)))
    size = llama_cpp.llama_state_seq_get_size(model._ctx.ctx, 0)
    model.close()
    computed = N_TOKENS * token_bytes(name) + state_bytes(name)
    assert computed <= size <= computed * 1.05
