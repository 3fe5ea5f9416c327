"""Layers with a sliding window keep their window only, of sequences that share a prefix too.

Covers `app.engine.llama.context` for models with a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.engine.llama import DECODE_OK, BatchPart, Context, Model
from app.protocol import LoadParams
from scripts.benchmark.random_model import shape

pytestmark = pytest.mark.slow

WINDOW = 64
N_STEP = 64
N_HEAD = 1000
N_TAIL = 200
PARAMS = LoadParams(n_ctx=8192, n_batch=N_STEP, n_ubatch=N_STEP)
# Cells in another order round differently, which eight layers of 8-bit weights magnify. A prefix
# of other words changes logits by several times as much.
TOLERANCE = 0.7
MADE_UP_LOGIT = -50.0  # tokens that the model never answers with are far below


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path: Path = tmp_path_factory.mktemp("models") / "sliding.gguf"
    return Model(shape("gemma3", path, n_window=WINDOW), PARAMS, lambda _fraction: None)


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    """Return a context of five sequences, whose windows are far shorter than the prompts."""
    made = Context(model, PARAMS, n_seq_max=5, n_threads=1)
    made.learn_layout(model.first_token)
    yield made
    made.close()


def words(seed: int, n_tokens: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(20, 300, n_tokens)]


def extend(context: Context, seq_id: int, tokens: list[int], start: int) -> np.ndarray:
    """Decode tokens behind those that a sequence has; return the last one's logits."""
    row = 0
    for at in range(start, len(tokens), N_STEP):
        step = tokens[at : at + N_STEP]
        assert context.decode([BatchPart(seq_id, at, step, n_logits=1)]) == DECODE_OK
        row = len(step) - 1
    return context.logits(row).copy()


def apart(some: np.ndarray, others: np.ndarray) -> float:
    """Return how far the logits of two steps lie apart, of tokens that may be answers."""
    answers = others > MADE_UP_LOGIT
    return float(np.abs(some - others)[answers].max())


def test_other_words_change_the_logits_by_more_than_rounding_does(context: Context) -> None:
    tail = words(1, N_TAIL)
    found = [extend(context, seq_id, words(seq_id, N_HEAD) + tail, 0) for seq_id in range(4)]
    assert min(apart(one, found[0]) for one in found[1:]) > 2 * TOLERANCE


def test_four_sequences_that_share_a_long_prefix_all_go_on(context: Context) -> None:
    head = words(0, N_HEAD)
    extend(context, 0, head, 0)
    for seq_id in (1, 2, 3):
        assert context.copy_prefix(0, seq_id, N_HEAD) == N_HEAD
    for seq_id in (0, 1, 2, 3):
        extend(context, seq_id, head + words(seq_id + 1, N_TAIL), N_HEAD)


def test_a_shared_prefix_leads_to_the_same_logits_as_a_prefix_of_ones_own(
    context: Context,
) -> None:
    head, tail = words(0, N_HEAD), words(1, N_TAIL)
    alone = extend(context, 0, head + tail, 0)
    context.clear(0)
    extend(context, 1, head, 0)
    for seq_id in (2, 3):
        assert context.copy_prefix(1, seq_id, N_HEAD) == N_HEAD
    extend(context, 3, head + words(2, N_TAIL), N_HEAD)
    assert apart(extend(context, 2, head + tail, N_HEAD), alone) < TOLERANCE
    assert apart(extend(context, 1, head + tail, N_HEAD), alone) < TOLERANCE


def test_a_prefix_that_ends_before_the_window_of_its_source_is_not_shared(
    context: Context,
) -> None:
    tokens = words(0, N_HEAD)
    extend(context, 0, tokens, 0)
    assert context.copy_prefix(0, 1, N_HEAD // 2) == 0
    alone = extend(context, 1, tokens, 0)
    assert apart(extend(context, 2, tokens, 0), alone) < TOLERANCE


def test_a_saved_state_goes_on_in_another_sequence(context: Context) -> None:
    head, tail = words(0, N_HEAD), words(1, N_TAIL)
    extend(context, 0, head, 0)
    state = context.save_state(0)
    assert state is not None
    alone = extend(context, 0, head + tail, N_HEAD)
    assert context.load_state(4, state, N_HEAD)
    assert apart(extend(context, 4, head + tail, N_HEAD), alone) < TOLERANCE


@pytest.mark.parametrize("n_back", [1, 7, N_STEP])
def test_a_step_can_be_taken_back_whole_or_in_part(context: Context, n_back: int) -> None:
    head, tail = words(0, N_HEAD), words(1, N_TAIL)
    alone = extend(context, 0, head + tail, 0)
    extend(context, 1, head, 0)
    step = BatchPart(1, N_HEAD, tail[: N_STEP - n_back] + words(2, n_back), n_logits=1)
    assert context.decode([step]) == DECODE_OK
    n_kept = N_HEAD + N_STEP - n_back
    assert context.keep_prefix(1, n_kept) == n_kept
    assert apart(extend(context, 1, head + tail, n_kept), alone) < TOLERANCE


def test_a_sequence_is_whole_after_others_took_the_cells_that_left_its_window(
    context: Context,
) -> None:
    head, tail = words(0, N_HEAD), words(1, N_TAIL)
    alone = extend(context, 0, head + tail, 0)
    extend(context, 1, head, 0)
    for seq_id in (0, 2, 3):
        extend(context, seq_id, words(seq_id, 2 * N_HEAD), 0 if seq_id else N_HEAD + N_TAIL)
    assert context.keep_prefix(1, N_HEAD) == N_HEAD
    assert context.copy_prefix(1, 4, N_HEAD) == N_HEAD
    assert apart(extend(context, 4, head + tail, N_HEAD), alone) < TOLERANCE
