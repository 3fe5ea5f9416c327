"""A chain chooses as llama.cpp does, whatever shortcut it takes, and repeats itself by its seed."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.decode.sampling import stages
from app.engine.llama import BatchPart, Context, Model, Sampler
from app.protocol import SamplingParams
from tests.engine.llama.nano import prefill

PROMPT = [5, 6, 7]
SAMPLING = [
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=0.0, repeat_penalty=1.5, repeat_last_n=8),
    SamplingParams(seed=7),
    SamplingParams(seed=7, top_k=0, top_p=1.0, min_p=0.0, temperature=1.5),
    SamplingParams(seed=7, mirostat=2),
    SamplingParams(seed=7, logit_bias={9: 5.0, 11: -100.0}),
]


def bits(model: Model, tokens: list[int]) -> bytes:
    is_allowed = np.zeros(model.n_vocab, np.uint8)
    is_allowed[tokens] = 1
    return np.packbits(is_allowed, bitorder="little").tobytes()


def answer(model: Model, context: Context, sampling: SamplingParams, few: list[int]) -> list[int]:
    """Return five tokens, chosen among `few`, where llama.cpp sees all of the vocabulary or not."""
    sampler, tokens = Sampler(stages(sampling), model), list(PROMPT)
    for _ in range(5):
        context.clear(0)
        context.decode([BatchPart(0, 0, tokens, n_logits=1)])
        tokens.append(sampler.sample(context, len(tokens) - 1, bits(model, few) if few else None))
    sampler.close()
    return tokens[len(PROMPT) :]


@pytest.mark.parametrize("sampling", SAMPLING)
def test_what_is_chosen_among_few_is_what_the_whole_chain_chooses(
    model: Model, context: Context, sampling: SamplingParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = list(range(8, 60, 3))
    short = answer(model, context, sampling, few)
    monkeypatch.setattr("app.engine.llama.sampler._FEW", 0)
    assert answer(model, context, sampling, few) == short
    assert set(short) <= set(few)


def test_the_best_of_all_is_what_llama_cpp_takes(model: Model, context: Context) -> None:
    greedy = SamplingParams(temperature=0.0)
    no_bias = SamplingParams(temperature=0.0, logit_bias={0: 0.0})  # goes the long way
    assert answer(model, context, greedy, []) == answer(model, context, no_bias, [])


def test_a_greedy_chain_chooses_the_largest_logit(model: Model, context: Context) -> None:
    prefill(context, 0, PROMPT)
    sampler = Sampler(stages(SamplingParams(temperature=0.0)), model)
    row = len(PROMPT) - 1
    assert sampler.sample(context, row) == int(context.logits(row).argmax())
    sampler.close()


def drawn(model: Model, context: Context, seed: int | None, n_drawn_before: int = 0) -> list[int]:
    """Return twenty draws from one row."""
    sampler = Sampler(stages(SamplingParams(seed=seed, temperature=2.0, top_k=0)), model)
    sampler.draw(n_drawn_before)
    tokens = [sampler.sample(context, len(PROMPT) - 1) for _ in range(20 - n_drawn_before)]
    sampler.close()
    return tokens


def test_a_seed_decides_all_draws(model: Model, context: Context) -> None:
    prefill(context, 0, PROMPT)
    first = drawn(model, context, seed=7)
    assert len(set(first)) > 1
    assert drawn(model, context, seed=7) == first
    assert drawn(model, context, seed=8) != first
    assert drawn(model, context, None) != drawn(model, context, None)


def test_skipped_draws_leave_the_random_state_where_draws_do(
    model: Model, context: Context
) -> None:
    prefill(context, 0, PROMPT)
    assert drawn(model, context, 7, n_drawn_before=5) == drawn(model, context, 7)[5:]


def test_a_token_in_the_history_is_penalised(model: Model, context: Context) -> None:
    params = SamplingParams(temperature=0.0, presence_penalty=2.0, repeat_penalty=2.0)
    prefill(context, 0, PROMPT)
    row = len(PROMPT) - 1
    best = int(context.logits(row).argmax())
    fresh, penalising = (Sampler(stages(params), model) for _ in range(2))
    penalising.accept([best] * 50)
    assert fresh.sample(context, row) == best
    assert penalising.sample(context, row) != best
    fresh.close()
    penalising.close()


def test_a_grammar_that_allows_nothing_leaves_the_model_its_choice(
    model: Model, context: Context
) -> None:
    prefill(context, 0, PROMPT)
    row = len(PROMPT) - 1
    sampler = Sampler(stages(SamplingParams(seed=1)), model)
    best = int(context.logits(row).argmax())
    assert sampler.sample(context, row, bits(model, [])) == best
    sampler.close()
