"""At load, a context learns what its states look like, or says why it does not.

Covers `app.engine.llama.sequence_states`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.engine.llama import BatchPart, Context, Model
from app.engine.llama.attention_part import Bytes
from app.engine.llama.sequence_states import SequenceStates
from app.engine.llama.state_probe import probe, read_layout
from scripts.benchmark.random_model import shape
from tests.engine.llama.nano import PARAMS, new_context, prefill

TOKEN = 5
N_LAYERS, N_KV_BYTES = 6, 256


@pytest.fixture
def used(context: Context) -> Context:
    """A context whose sequence 1 has a token."""
    prefill(context, 1, [TOKEN])
    return context


class OddStates:
    """States that llama.cpp writes or takes in another way than those of today.

    Args:
        context: of the real ones.
        change: what it writes instead.
        takes: whether it takes any.
    """

    def __init__(
        self,
        context: SequenceStates,
        change: Callable[[Bytes], Bytes | None] = lambda state: state,
        *,
        takes: bool = True,
    ) -> None:
        self._context = context
        self._change = change
        self._takes = takes
        self.clear = context.clear
        self.copy_range = context.copy_range

    def read_state(self, seq_id: int, *, partial: bool = False) -> Bytes | None:
        state = self._context.read_state(seq_id, partial=partial)
        return None if state is None else self._change(state)

    def write_state(self, seq_id: int, state: Bytes) -> bool:
        return self._takes and self._context.write_state(seq_id, state)


def with_more(state: Bytes) -> Bytes:
    return np.append(state, np.zeros(4, np.uint8))


def with_less(state: Bytes) -> Bytes:
    return state[:-1]


def with_another_order(state: Bytes) -> Bytes:
    return state[::-1].copy()


def with_sums(state: Bytes) -> Bytes:
    """A checksum in the place of the magic number."""
    state[:4] = np.frombuffer(int(state[8:].sum()).to_bytes(4, "little"), np.uint8)
    return state


def with_last_token_changed(state: Bytes) -> Bytes:
    state[-1] ^= len(state) % 251
    return state


def test_the_layout_of_the_bundled_model_is_found(used: Context) -> None:
    layout = probe(used, 1, 0, n_swa=0)
    assert layout.token_bytes == N_LAYERS * 2 * N_KV_BYTES
    assert (layout.window_token_bytes, layout.has_recurrent) == (0, False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _: None, "returned no state"),
        (with_more, "unknown format"),
        (with_less, "unknown format"),
        (with_another_order, "unknown format"),
        (with_sums, "does not take"),
        (with_last_token_changed, "otherwise"),
    ],
)
def test_an_unknown_format_is_refused(
    used: Context, change: Callable[[Bytes], Bytes | None], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        probe(OddStates(used, change), 1, 0, n_swa=0)
    for seq_id in (0, 1):
        prefill(used, seq_id, [TOKEN])  # positions begin at 0


def test_states_that_are_not_taken_are_refused(used: Context) -> None:
    with pytest.raises(ValueError, match="does not take"):
        probe(OddStates(used, takes=False), 1, 0, n_swa=0)


@pytest.mark.parametrize("length", [0, 4, 8, 16, 40, 100])
def test_no_layout_is_read_from_the_beginning_of_a_state(used: Context, length: int) -> None:
    state = used.read_state(1)
    assert state is not None
    with pytest.raises(ValueError, match="unknown format"):
        read_layout(state[:length], n_swa=0)


def test_learning_leaves_the_context_as_it_was(
    model: Model, context: Context, tokens: list[int]
) -> None:
    prefill(context, 0, tokens)
    expected = context.logits(len(tokens) - 1).copy()
    fresh = new_context(model)
    fresh.learn_layout(TOKEN)
    assert (fresh.layout is not None, fresh.layout_error) == (True, "")
    prefill(fresh, 0, tokens)
    assert np.array_equal(fresh.logits(len(tokens) - 1), expected)
    fresh.close()


def test_the_logits_of_the_token_remain(context: Context) -> None:
    prefill(context, 0, [TOKEN])
    expected = context.logits(0).copy()
    context.clear(0)
    context.learn_layout(TOKEN)
    assert np.array_equal(context.logits(-1), expected)


def test_without_a_second_sequence_states_stay_whole(model: Model) -> None:
    context = Context(model, PARAMS, n_seq_max=1, n_threads=1)
    assert (context.layout, context.layout_error) == (None, "it was not looked for")
    context.learn_layout(TOKEN)
    assert (context.layout, context.layout_error) == (None, "there is no second sequence")
    prefill(context, 0, [TOKEN, 6])
    assert context.save_range(0, 0, 0, 2, with_recurrent=True) is None
    assert context.save_recurrent(0) is None
    assert not context.load_parts(0, 1, [b""])
    context.close()


def test_a_state_that_does_not_fit_leaves_the_sequence_clear(
    model: Model, context: Context, tokens: list[int]
) -> None:
    context.learn_layout(TOKEN)
    prefill(context, 0, tokens)
    parts = context.save_range(0, context.spare, 0, len(tokens), with_recurrent=True)
    assert parts is not None
    rows = [parts.rows]
    assert not context.load_parts(1, len(tokens) + 1, rows)
    assert not context.load_parts(1, len(tokens), [b"x"])
    assert not context.load_parts(1, 50 * len(tokens), rows * 50)
    assert context.load_parts(1, len(tokens), rows)
    context.decode([BatchPart(1, len(tokens), [TOKEN], 1)])


def layout_error(folder: Path, architecture: str, n_more_swa: int = 0, **sizes: Any) -> str:
    path = shape(architecture, folder / "m.gguf", n_layer=6, **sizes)
    model = Model(path, PARAMS, lambda _: None)
    model.n_swa += n_more_swa
    context = Context(model, PARAMS, n_seq_max=2, n_threads=1)
    context.learn_layout(TOKEN)
    context.close()
    return context.layout_error


def test_a_window_of_another_size_is_not_believed(tmp_path: Path) -> None:
    assert layout_error(tmp_path, "gemma3", n_window=24) == ""
    assert layout_error(tmp_path, "gemma3", 1, n_window=24) == "the window is of an unknown kind"
    assert layout_error(tmp_path, "gemma3", -1, n_window=24) == "the window is of an unknown kind"
    assert layout_error(tmp_path, "gemma3", n_window=4) == "the window is too small"


HEAD = struct.pack("<Ii", 1, 0)
NO_LAYERS = struct.pack("<IIiIiII", 1, 1, 0, 1, 0, 0, 0)
RECURRENT = struct.pack("<IiI", 1, 0, 0) + bytes(40)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (HEAD + RECURRENT, "all layers are recurrent"),
        (HEAD + NO_LAYERS + RECURRENT, "no layer keeps keys and values of all tokens"),
        (HEAD + NO_LAYERS, "no layer keeps keys and values of all tokens"),
        (HEAD + RECURRENT + NO_LAYERS, "all layers are recurrent"),
        (HEAD + bytes(60), "unknown format"),
    ],
)
def test_a_model_without_attention_keeps_whole_states(state: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_layout(np.frombuffer(state, np.uint8), n_swa=0)


def test_a_recurrent_state_that_does_not_come_alone_is_refused(tmp_path: Path) -> None:
    path = shape("lfm2", tmp_path / "m.gguf", n_layer=4)
    context = new_context(Model(path, PARAMS, lambda _: None))
    prefill(context, 1, [TOKEN])

    class Whole(OddStates):
        def read_state(self, seq_id: int, *, partial: bool = False) -> Bytes | None:
            return super().read_state(seq_id)

    with pytest.raises(ValueError, match="does not come alone"):
        probe(Whole(context), 1, 0, n_swa=0)
    context.close()
