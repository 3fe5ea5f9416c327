"""What is kept of a sequence in pieces restores it exactly, for every architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from app.engine.llama import BatchPart, Context, Model, StateParts
from app.protocol import LoadParams
from scripts.benchmark.architectures import ARCHITECTURES
from scripts.benchmark.random_model import shape

N_TOKENS = 700
N_NEXT = 20
PAGE = 32
ENDS = [100, 256, 401, N_TOKENS]
INSIDE = [33, 255, 699]

pytestmark = pytest.mark.slow
Logits = list[np.ndarray]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "model.gguf"
    shape(request.param, path, n_window=160)
    return Model(path, LoadParams(), lambda _: None)


@pytest.fixture
def tokens(model: Model) -> list[int]:
    generator = np.random.default_rng(7)
    return [int(token) for token in generator.integers(0, model.n_vocab, N_TOKENS + N_NEXT)]


@pytest.fixture(params=["", "flash_attn off", "q8_0", "swa_full"])
def context(model: Model, request: pytest.FixtureRequest) -> Iterator[Context]:
    is_full = request.param == "swa_full"
    if is_full and not model.n_swa:
        pytest.skip("has no window")
    params = LoadParams(
        n_ctx=2048,
        flash_attn=False if request.param == "flash_attn off" else None,
        type_k="q8_0" if request.param == "q8_0" else "f16",
        type_v="q8_0" if request.param == "q8_0" else "f16",
    )
    context = Context(model, params, n_seq_max=4, n_threads=1, swa_full=is_full)
    context.learn_layout(model.first_token)
    assert context.layout_error == ""
    yield context
    context.close()


def decode(context: Context, tokens: Sequence[int], start: int, seq_id: int = 0) -> None:
    assert context.decode([BatchPart(seq_id, start, tokens, n_logits=1)]) == 0


def next_logits(context: Context, tokens: list[int], start: int, seq_id: int = 0) -> Logits:
    """Decode the next tokens one by one; return the logits of each."""
    logits = []
    for place in range(start, start + N_NEXT):
        decode(context, tokens[place : place + 1], place, seq_id)
        logits.append(context.logits(0).copy())
    return logits


def prefill(
    context: Context, tokens: list[int], meanwhile: Callable[[int], None] = lambda _: None
) -> tuple[list[StateParts], dict[int, Logits]]:
    """Prefill in steps and save a piece at each of `ENDS`.

    Returns:
        The pieces, and how it goes on from each of `ENDS` and `INSIDE`.
    """
    pieces: list[StateParts] = []
    expected: dict[int, Logits] = {}
    start = 0
    for end in sorted(ENDS + INSIDE):
        decode(context, tokens[start:end], start)
        if end in ENDS:
            begin = pieces[-1].n_tokens // PAGE * PAGE if pieces else 0
            piece = context.save_range(0, context.spare, begin, end, with_recurrent=True)
            assert piece is not None
            pieces.append(piece)
        context.copy_range(0, 1, 0, end)
        expected[end] = next_logits(context, tokens, end, seq_id=1)
        context.clear(1)
        meanwhile(end)
        start = end
    context.clear(0)
    return pieces, expected


def load(context: Context, pieces: list[StateParts], n_tokens: int, seq_id: int = 0) -> bool:
    """Join what pieces have of the first tokens."""
    assert context.layout is not None
    rows: list[np.ndarray] = []
    window_rows: list[np.ndarray] = []
    at = 0
    recurrent = b""
    window_at = 0
    for piece in pieces:
        end = min(piece.n_tokens, n_tokens)
        if end <= at:
            continue
        rows.append(piece.rows[at - piece.start : end - piece.start])
        if context.layout.window_token_bytes:
            if piece.window_start > window_at:
                window_rows, window_at = [], piece.window_start
            part = piece.window_rows[window_at - piece.window_start : end - piece.window_start]
            window_rows.append(part)
            window_at += len(part)
        if piece.n_tokens == n_tokens:
            recurrent = piece.recurrent
        at = end
    return context.load_parts(seq_id, n_tokens, rows, window_rows, recurrent)


def test_the_layout_is_that_of_the_architecture(model: Model, context: Context) -> None:
    layout = context.layout
    assert layout is not None
    assert layout.has_recurrent == model.is_recurrent
    assert bool(layout.window_token_bytes) == bool(model.n_swa)
    assert layout.whole[0].has_ext == model.description.startswith("qwen35")


def test_what_is_joined_goes_on_as_if_it_had_never_left(
    context: Context, tokens: list[int]
) -> None:
    pieces, expected = prefill(context, tokens)
    assert context.layout is not None
    ends = ENDS if context.layout.has_recurrent else sorted(ENDS + INSIDE)
    for n_tokens in ends:
        assert load(context, pieces, n_tokens), n_tokens
        found = next_logits(context, tokens, n_tokens)
        assert np.array_equal(found, expected[n_tokens]), n_tokens
        context.clear(0)


def test_rows_are_those_of_their_positions_in_whatever_order_cells_lie(
    context: Context, tokens: list[int]
) -> None:
    decode(context, tokens[:200], 0, seq_id=1)
    decode(context, tokens[:150], 0)
    context.clear(1)  # the next cells are those before the first ones
    decode(context, tokens[150:190], 150)
    context.decode([BatchPart(1, 0, tokens[:30], 1), BatchPart(0, 190, tokens[190:240], 1)])
    piece = context.save_range(0, context.spare, 0, 240, with_recurrent=True)
    assert piece is not None
    for place in (0, 149, 150, 189, 190, 239):
        alone = context.save_range(0, context.spare, place, place + 1, with_recurrent=False)
        assert alone is not None
        assert np.array_equal(alone.rows[0], piece.rows[place])
        if len(alone.window_rows) and place >= piece.window_start:
            in_window = piece.window_rows[place - piece.window_start]
            assert np.array_equal(alone.window_rows[0], in_window)
    assert load(context, [piece], 240, seq_id=2)
    again = context.save_range(2, context.spare, 0, 240, with_recurrent=True)
    assert again is not None
    assert np.array_equal(again.rows, piece.rows)
    assert np.array_equal(again.window_rows, piece.window_rows)
    assert again.recurrent == piece.recurrent == (context.save_recurrent(0) or b"")


def test_saving_changes_nothing(context: Context, tokens: list[int]) -> None:
    decode(context, tokens[:100], 0)
    decode(context, tokens[100:140], 100)
    expected = next_logits(context, tokens, 140)
    context.clear(0)
    decode(context, tokens[:100], 0)
    assert context.save_range(0, context.spare, 32, 100, with_recurrent=True)
    decode(context, tokens[100:140], 100)
    assert context.save_range(0, context.spare, 96, 140, with_recurrent=False)
    assert np.array_equal(next_logits(context, tokens, 140), expected)


def test_the_state_of_another_position_is_not_kept(context: Context, tokens: list[int]) -> None:
    decode(context, tokens[:100], 0)
    assert context.layout is not None
    early = context.save_range(0, context.spare, 0, 64, with_recurrent=True)
    assert (early is None) == context.layout.has_recurrent
    rows = context.save_range(0, context.spare, 0, 64, with_recurrent=False)
    assert rows is not None
    assert rows.recurrent == b""
    late = context.save_range(0, context.spare, 0, 100, with_recurrent=True)
    assert late is not None
    if context.layout.has_recurrent:
        assert not context.load_parts(1, 64, [rows.rows], [], late.recurrent)


def test_tokens_that_a_sequence_does_not_have_are_not_saved(
    context: Context, tokens: list[int]
) -> None:
    decode(context, tokens[:50], 0)
    for start, end in ((0, 51), (50, 60), (20, 20), (30, 20), (-1, 10)):
        assert context.save_range(0, context.spare, start, end, with_recurrent=False) is None
    assert context.save_range(1, context.spare, 0, 10, with_recurrent=False) is None
