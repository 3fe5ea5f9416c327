"""Owns learning the format of a model's states, and proving it, when the model is loaded.

Nothing in a state names its parts, and llama.cpp may change them: what is read from the state of
one token counts only where llama.cpp takes states that are made up after it, and gives them back,
whole and in parts. No token is computed for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from app.engine.llama.attention_part import (
    COLUMN_HEAD,
    DATA_HEAD,
    AttentionPart,
    Bytes,
    Column,
)
from app.engine.llama.state_layout import (
    STATE_HEAD,
    StateLayout,
    StateParts,
    n_cells_at,
    recurrent_end,
)

_N_MADE_UP = 7
_HARMLESS = 0x3F  # numbers made of such bytes are finite and small, whatever their type
_MIN_COLUMN_BYTES = 8
_MAX_LAYERS = 1 << 12
_MAX_COLUMN_BYTES = 1 << 24


class SequenceStates(Protocol):
    """The states of a context's sequences."""

    def copy_range(self, source: int, target: int, start: int, end: int) -> None:
        """Let an empty sequence share tokens of another."""
        ...

    def read_state(self, seq_id: int, *, partial: bool = False) -> Bytes | None:
        """Return llama.cpp's state of a sequence; None where there is no memory for it."""
        ...

    def write_state(self, seq_id: int, state: Bytes) -> bool:
        """Give a clear sequence a state; say whether llama.cpp took it."""
        ...

    def clear(self, seq_id: int) -> None:
        """Drop all tokens of a sequence."""
        ...


def probe(states: SequenceStates, used: int, empty: int, n_swa: int) -> StateLayout:
    """Return the layout of a model's states.

    Args:
        states: of the model's context.
        used: a sequence of one token; it is empty afterwards.
        empty: another one, which is empty.
        n_swa: tokens that a sliding window holds; 0 for none.

    Raises:
        ValueError: the format is not understood; why.
    """
    try:
        states.copy_range(used, empty, 0, 1)  # the sequence's id is part of a state
        state = _read(states, empty)
        layout = read_layout(state, n_swa)
        parts = layout.split(state)
        joined = _join(layout, parts)
        _expect(np.array_equal(joined, state), "a joined state is not the one taken apart")
        made_up = _make_up(layout, parts)
        state = _join(layout, made_up)
        read = _read_back(states, empty, state)
        _expect(np.array_equal(read, state), "a joined state reads otherwise")
        if layout.windows:
            _prove_window(states, empty, layout, state)
        states.clear(used)
        _expect(states.write_state(used, state), "llama.cpp does not take a joined state")
        _prove_ranges(states, used, empty, layout, made_up)
        return layout
    finally:
        states.clear(used)
        states.clear(empty)


def _make_up(layout: StateLayout, parts: StateParts) -> StateParts:
    """Return rows of which no two are alike, and the given recurrent state behind them."""
    generator = np.random.default_rng(0)
    sizes = layout.token_bytes, layout.window_token_bytes
    rows, window_rows = (
        generator.integers(0, _HARMLESS, (_N_MADE_UP, size), np.uint8, endpoint=True)
        for size in sizes
    )
    if not layout.windows:
        window_rows = window_rows[:0]
    recurrent = bytearray(parts.recurrent)
    if layout.has_recurrent:
        recurrent[4:8] = (_N_MADE_UP - 1).to_bytes(4, "little")
    return StateParts(0, rows, _N_MADE_UP - len(window_rows), window_rows, bytes(recurrent))


def _prove_ranges(
    states: SequenceStates, used: int, empty: int, layout: StateLayout, parts: StateParts
) -> None:
    for start, end in ((0, 3), (3, _N_MADE_UP)):
        states.clear(empty)
        states.copy_range(used, empty, start, end)
        found = layout.split(_read(states, empty))
        is_end = end == _N_MADE_UP
        _expect(
            (found.start, found.n_tokens) == (start, end)
            and np.array_equal(found.rows, parts.rows[start:end])
            and np.array_equal(found.window_rows, parts.window_rows[start:end])
            and found.recurrent == (parts.recurrent if is_end else b""),
            "the state of some tokens is not a part of the whole one",
        )
    if layout.has_recurrent:
        body = _read(states, used, partial=True)[STATE_HEAD:].tobytes()
        _expect(body == parts.recurrent, "the recurrent state does not come alone")


def _prove_window(states: SequenceStates, empty: int, layout: StateLayout, state: Bytes) -> None:
    """Give the tokens positions of which the window has just left the first two behind."""
    moved, at = state.copy(), STATE_HEAD
    first = layout.n_swa - 2
    positions = [0, 1, 2, *range(first, first + _N_MADE_UP - 3)]
    for part in (*layout.whole, *layout.windows):
        part.cells(moved[at:], _N_MADE_UP)["pos"] = positions
        at += part.n_bytes(_N_MADE_UP)
    n_left = sum(position > positions[-1] - layout.n_swa for position in positions)
    read = _read_back(states, empty, moved)
    _expect(len(read) == layout.n_bytes(_N_MADE_UP, n_left), "the window is of an unknown kind")


def _join(layout: StateLayout, parts: StateParts) -> Bytes:
    windows = [parts.window_rows] if layout.windows else []
    return layout.join(parts.n_tokens, [parts.rows], windows, parts.recurrent)


def _read(states: SequenceStates, seq_id: int, *, partial: bool = False) -> Bytes:
    state = states.read_state(seq_id, partial=partial)
    if state is None:
        raise ValueError("llama.cpp returned no state")
    return state


def _read_back(states: SequenceStates, empty: int, state: Bytes) -> Bytes:
    """Return what a state is after llama.cpp has taken it."""
    states.clear(empty)
    _expect(states.write_state(empty, state), "llama.cpp does not take a joined state")
    return _read(states, empty)


def _expect(is_true: bool, otherwise: str) -> None:
    if not is_true:
        raise ValueError(otherwise)


def read_layout(state: Bytes, n_swa: int) -> StateLayout:
    """Return what looks like the layout of the state of a sequence's first token.

    Args:
        state: what `llama_state_seq_get_data` wrote.
        n_swa: tokens that a sliding window holds; 0 for none. With one, the last of several
            attention caches is taken to be that of the layers which have it.

    Raises:
        ValueError: it is none that is understood; why.
    """
    _expect(recurrent_end(state[STATE_HEAD:]) != 1, "all layers are recurrent")
    for parts, at in _attention_parts(state, STATE_HEAD):
        rest = state[at:]
        if not parts or (len(rest) and recurrent_end(rest) != 1):
            continue
        layout = StateLayout(state[:4].tobytes(), parts, (), len(rest), 0)
        if n_swa and len(parts) > 1:
            layout = replace(layout, whole=parts[:-1], windows=parts[-1:], n_swa=n_swa)
            _expect(n_swa > _N_MADE_UP, "the window is too small")
        _expect(layout.token_bytes > 0, "no layer keeps keys and values of all tokens")
        return layout
    raise ValueError("the state has parts of an unknown format")


def _attention_parts(source: Bytes, at: int) -> Iterator[tuple[tuple[AttentionPart, ...], int]]:
    """Yield attention parts that follow each other, and where they end; most parts first."""
    for part in _candidates(source, at):
        for following, end in _attention_parts(source, at + part.n_bytes(1)):
            yield (part, *following), end
    yield (), at


def _candidates(source: Bytes, at: int) -> Iterator[AttentionPart]:
    """Yield what an attention part of one cell could be."""
    for has_ext in (False, True):
        cells = AttentionPart(has_ext, b"", ())
        data_at = at + cells.data_at(1)
        try:
            _expect(n_cells_at(source, at) == 1, "no cell")
            _expect(cells.positions(source[at:], 1).tolist() == [0], "another token")
            keys, values = _columns(source, data_at)
        except ValueError:
            continue
        head = source[data_at : data_at + DATA_HEAD].tobytes()
        if values:
            yield AttentionPart(has_ext, head, (*keys, *values))
        yield AttentionPart(has_ext, head, keys)  # of models whose values are the keys


def _columns(source: Bytes, at: int) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """Return the keys' columns, and the values' where those come next.

    Raises:
        ValueError: there are no columns.
    """
    head = source[at : at + DATA_HEAD]
    _expect(len(head) == DATA_HEAD, "no columns")
    is_transposed, n_layers = map(int, head.view("<u4"))
    _expect(is_transposed <= 1 and n_layers <= _MAX_LAYERS, "no columns")
    keys, at = _column_kind(source, at + DATA_HEAD, n_layers, is_transposed=False)
    try:
        values, _ = _column_kind(source, at, n_layers, is_transposed=is_transposed == 1)
    except ValueError:
        values = ()
    return keys, values


def _column_kind(
    source: Bytes, at: int, n_layers: int, *, is_transposed: bool
) -> tuple[tuple[Column, ...], int]:
    columns: list[Column] = []
    for _ in range(n_layers):
        head = source[at : at + COLUMN_HEAD]
        _expect(len(head) == COLUMN_HEAD, "no column")
        _, low, high = map(int, head.view("<u4"))
        n_bytes = low * high if is_transposed else low + (high << 32)
        at += COLUMN_HEAD + n_bytes
        is_sound = _MIN_COLUMN_BYTES <= n_bytes <= _MAX_COLUMN_BYTES and at <= len(source)
        _expect(is_sound and (not is_transposed or low in (1, 2, 4, 8)), "no column")
        columns.append(Column(head.tobytes(), n_bytes, low if is_transposed else 0))
    return tuple(columns), at
