"""The KV cache holds what was decoded, however that was cut, copied, saved and restored."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.llama import (
    DECODE_ABORTED,
    DECODE_NO_KV_SLOT,
    DECODE_OK,
    BatchPart,
    Context,
    Model,
)
from app.errors import ModelLoadFailed
from app.parameters.cache_types import CacheType
from app.protocol import LoadParams
from tests.engine.llama.nano import prefill

TOLERANCE = 1e-3  # batches of different shape round differently


def last_logits(context: Context, tokens: list[int], seq_id: int = 0) -> np.ndarray:
    """Decode the last token alone and return its logits."""
    prefill(context, seq_id, tokens, start=len(tokens) - 1)
    return context.logits(0).copy()


@pytest.mark.parametrize("n_chunk", [1, 3, 7])
def test_chunks_lead_to_the_same_logits_as_one_batch(
    context: Context, tokens: list[int], n_chunk: int
) -> None:
    prefill(context, 0, tokens)
    whole = context.logits(len(tokens) - 1).copy()
    row = -1
    for start in range(0, len(tokens), n_chunk):
        chunk = tokens[start : start + n_chunk]
        context.decode([BatchPart(1, start, chunk, n_logits=1)])
        row = len(chunk) - 1
    np.testing.assert_allclose(context.logits(row), whole, atol=TOLERANCE)


def test_sequences_in_one_batch_do_not_see_each_other(context: Context, tokens: list[int]) -> None:
    prefill(context, 0, tokens)
    alone = context.logits(len(tokens) - 1).copy()
    context.clear(0)
    other = tokens[::-1]
    code = context.decode([BatchPart(1, 0, other, 1), BatchPart(0, 0, tokens, 1)])
    assert code == DECODE_OK
    together = context.logits(len(other) + len(tokens) - 1)
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)


def test_several_rows_of_a_batch_can_have_logits(context: Context, tokens: list[int]) -> None:
    context.decode([BatchPart(0, 0, tokens, n_logits=3)])
    rows = [context.logits(len(tokens) - n).copy() for n in (3, 2, 1)]
    context.decode([BatchPart(1, 0, tokens[:-1], n_logits=1)])
    np.testing.assert_allclose(context.logits(len(tokens) - 2), rows[1], atol=TOLERANCE)
    assert not np.allclose(rows[0], rows[2], atol=TOLERANCE)


def test_a_kept_prefix_goes_on_as_if_the_rest_had_never_been(
    context: Context, tokens: list[int]
) -> None:
    prefill(context, 0, tokens[:8])
    expected = last_logits(context, tokens[:9])
    prefill(context, 1, [*tokens[:8], *tokens[::-1]])
    assert context.keep_prefix(1, 8) == 8
    assert np.array_equal(last_logits(context, tokens[:9], seq_id=1), expected)


def test_more_than_a_sequence_holds_cannot_be_kept(context: Context, tokens: list[int]) -> None:
    """Whoever asks for it takes the sequence for another one."""
    prefill(context, 0, tokens)
    assert context.keep_prefix(0, len(tokens) + 1) == 0
    assert context.n_held(0) == 0
    assert context.copy_prefix(0, 1, 5) == 0
    prefill(context, 0, tokens)  # positions begin at 0 again


def test_nothing_of_a_sequence_may_be_kept(context: Context, tokens: list[int]) -> None:
    prefill(context, 0, tokens)
    assert context.keep_prefix(0, 0) == 0
    prefill(context, 0, tokens)  # positions begin at 0 again


def test_a_copied_prefix_is_shared_and_neither_changes_the_other(
    context: Context, tokens: list[int]
) -> None:
    prefill(context, 0, tokens)
    assert context.copy_prefix(0, 1, 5) == 5
    prefill(context, 1, [*tokens[:5], *tokens[:4]], start=5)
    again = last_logits(context, [*tokens, tokens[0]])
    context.clear(1)
    context.keep_prefix(0, len(tokens))
    assert np.array_equal(last_logits(context, [*tokens, tokens[0]]), again)


def test_a_saved_state_restores_into_any_sequence_bit_by_bit(
    context: Context, tokens: list[int]
) -> None:
    prefill(context, 0, tokens)
    state = context.save_state(0)
    assert state is not None
    assert len(state) == context.state_bytes(0)
    expected = last_logits(context, [*tokens, 5])
    context.clear(0)
    assert context.load_state(2, state, len(tokens))
    assert np.array_equal(last_logits(context, [*tokens, 5], seq_id=2), expected)


@pytest.mark.parametrize("damage", ["cut", "other length"])
def test_a_state_that_does_not_fit_leaves_the_sequence_clear(
    context: Context, tokens: list[int], damage: str
) -> None:
    prefill(context, 0, tokens)
    state = context.save_state(0)
    assert state is not None
    if damage == "cut":
        assert not context.load_state(1, state[: len(state) // 2], len(tokens))
    else:
        assert not context.load_state(1, state, len(tokens) - 1)
    prefill(context, 1, tokens)  # positions begin at 0


def test_a_full_kv_cache_changes_nothing(model: Model, tokens: list[int]) -> None:
    small = Context(model, LoadParams(n_ctx=256, n_threads=1), n_seq_max=2, n_threads=1)
    long = (tokens * 40)[:250]
    prefill(small, 0, long)
    assert small.decode([BatchPart(1, 0, long, n_logits=1)]) == DECODE_NO_KV_SLOT
    small.clear(0)
    prefill(small, 1, long)
    small.close()


def test_an_aborted_step_can_be_cut_back_and_repeated(context: Context, tokens: list[int]) -> None:
    prefill(context, 0, tokens)
    expected = context.logits(len(tokens) - 1).copy()
    context.clear(0)
    part = BatchPart(0, 0, tokens, n_logits=1)
    assert context.decode([part], lambda: True) == DECODE_ABORTED
    context.keep_prefix(0, 0)
    assert context.decode([part], lambda: False) == DECODE_OK
    assert np.array_equal(context.logits(len(tokens) - 1), expected)


def test_forbidden_tokens_are_never_the_best(context: Context, tokens: list[int]) -> None:
    prefill(context, 0, tokens)
    row = len(tokens) - 1
    best = int(context.logits(row).argmax())
    forbidden = np.zeros(context.logits(row).shape, np.bool_)
    forbidden[best] = True
    context.forbid(row, forbidden)
    assert int(context.logits(row).argmax()) != best


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_the_kv_cache_may_have_other_types(
    model: Model, tokens: list[int], kind: CacheType
) -> None:
    params = LoadParams(n_ctx=256, n_threads=1, type_k=kind, type_v="f16")
    context = Context(model, params, n_seq_max=1, n_threads=1)
    prefill(context, 0, tokens)
    context.close()


def test_batches_are_no_larger_than_the_context(model: Model) -> None:
    context = Context(model, LoadParams(n_ctx=256, n_batch=4096), n_seq_max=1, n_threads=1)
    assert context.n_batch <= context.n_ctx == 256
    context.close()


def test_settings_that_llama_cpp_refuses_are_named(model: Model) -> None:
    params = LoadParams(n_ctx=256, flash_attn=False, type_v="q4_0", type_k="q4_0")
    with pytest.raises(ModelLoadFailed, match="type_v q4_0"):
        Context(model, params, n_seq_max=1, n_threads=1)
