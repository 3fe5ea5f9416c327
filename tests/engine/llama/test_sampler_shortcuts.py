"""Choosing among few tokens, or the best of all, is what llama.cpp itself would have chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.engine.decode.sampling import stages
from app.engine.llama import BatchPart, Context, Model, Sampler
from app.protocol import LoadParams, SamplingParams

NANO = Path(__file__).resolve().parents[2] / "models" / "distiller-nano-3m-q8_0.gguf"
PROMPT = [5, 6, 7]
SAMPLING = [
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=0.0, repeat_penalty=1.5, repeat_last_n=8),
    SamplingParams(seed=7),
    SamplingParams(seed=7, top_k=0, top_p=1.0, min_p=0.0, temperature=1.5),
    SamplingParams(seed=7, mirostat=2),
    SamplingParams(seed=7, logit_bias={9: 5.0, 11: -100.0}),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[Model, Context]]:
    params = LoadParams(n_ctx=256, n_threads=1)
    model = Model(NANO, params, lambda _: None)
    context = Context(model, params, n_seq_max=1, n_threads=1)
    yield model, context
    context.close()


def bits(model: Model, tokens: list[int]) -> bytes:
    is_allowed = np.zeros(model.n_vocab, np.uint8)
    is_allowed[tokens] = 1
    return np.packbits(is_allowed, bitorder="little").tobytes()


def answer(engine: tuple[Model, Context], sampling: SamplingParams, few: list[int]) -> list[int]:
    """Return five tokens, chosen among `few`, where llama.cpp sees all of the vocabulary or not."""
    model, context = engine
    sampler, tokens = Sampler(stages(sampling), model), list(PROMPT)
    for _ in range(5):
        context.clear(0)
        context.decode([BatchPart(0, 0, tokens, n_logits=1)])
        tokens.append(sampler.sample(context, len(tokens) - 1, bits(model, few) if few else None))
    sampler.close()
    return tokens[len(PROMPT) :]


@pytest.mark.parametrize("sampling", SAMPLING)
def test_what_is_chosen_among_few_is_what_the_whole_chain_chooses(
    engine: tuple[Model, Context], sampling: SamplingParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = list(range(8, 60, 3))
    short = answer(engine, sampling, few)
    monkeypatch.setattr("app.engine.llama.sampler._FEW", 0)
    assert answer(engine, sampling, few) == short
    assert set(short) <= set(few)


def test_the_best_of_all_is_what_llama_cpp_takes(engine: tuple[Model, Context]) -> None:
    greedy = SamplingParams(temperature=0.0)
    no_bias = SamplingParams(temperature=0.0, logit_bias={0: 0.0})  # goes the long way
    assert answer(engine, greedy, []) == answer(engine, no_bias, [])
