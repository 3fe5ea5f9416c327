"""Owns learning the format of a model's states, and proving it, when the model is loaded.

Nothing in a state names its parts, and llama.cpp may change them: what is read from the state of
a few tokens counts only where llama.cpp reads back what is joined from it.
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

N_PROBED = 7
"""Tokens whose state is looked at; no size or type in a state is likely to be this number."""
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


def probe(states: SequenceStates, probed: int, empty: int, n_swa: int) -> StateLayout:
    """Return the layout of a model's states.

    Args:
        states: of the model's context.
        probed: a sequence of `N_PROBED` tokens, no two alike.
        empty: one that has none; it is empty again afterwards.
        n_swa: tokens that a sliding window holds; 0 for none.

    Raises:
        ValueError: the format is not understood; why.
    """
    try:
        states.copy_range(probed, empty, 0, N_PROBED)  # the sequence's id is part of a state
        whole = _read(states, empty)
        layout = read_layout(whole, N_PROBED, n_swa)
        parts = layout.split(whole)
        joined = layout.join(N_PROBED, [parts.rows], _windows(layout, parts), parts.recurrent)
        _expect(np.array_equal(joined, whole), "a joined state is not the one taken apart")
        _expect(_read_back(states, empty, joined) == joined.tobytes(), "a state reads otherwise")
        if layout.windows:
            _prove_window(states, empty, layout, joined)
        _prove_ranges(states, probed, empty, layout, parts)
        if layout.has_recurrent:
            partial = states.read_state(probed, partial=True)
            body = b"" if partial is None else partial[STATE_HEAD:].tobytes()
            _expect(body == parts.recurrent, "the recurrent state does not come alone")
        return layout
    finally:
        states.clear(empty)


def _prove_ranges(
    states: SequenceStates, probed: int, empty: int, layout: StateLayout, parts: StateParts
) -> None:
    for start, end in ((0, 3), (3, N_PROBED)):
        states.clear(empty)
        states.copy_range(probed, empty, start, end)
        found = layout.split(_read(states, empty))
        is_end = end == N_PROBED
        _expect(
            (found.start, found.n_tokens) == (start, end)
            and np.array_equal(found.rows, parts.rows[start:end])
            and np.array_equal(found.window_rows, parts.window_rows[start:end])
            and found.recurrent == (parts.recurrent if is_end else b""),
            "the state of some tokens is not a part of the whole one",
        )


def _prove_window(states: SequenceStates, empty: int, layout: StateLayout, state: Bytes) -> None:
    """Give the tokens positions of which the window has just left two behind."""
    moved, at = state.copy(), STATE_HEAD
    positions = [0, 1, 2, *range(n := layout.n_swa - 2, n + N_PROBED - 3)]
    for part in (*layout.whole, *layout.windows):
        part.cells(moved[at:], N_PROBED)["pos"] = positions
        at += part.n_bytes(N_PROBED)
    n_left = sum(position > positions[-1] - layout.n_swa for position in positions)
    read = _read_back(states, empty, moved)
    _expect(n_left == N_PROBED - 2, "the window is too small")
    _expect(len(read) == layout.n_bytes(N_PROBED, n_left), "the window is of an unknown kind")


def _windows(layout: StateLayout, parts: StateParts) -> list[Bytes]:
    return [parts.window_rows] if layout.windows else []


def _read(states: SequenceStates, seq_id: int) -> Bytes:
    state = states.read_state(seq_id)
    if state is None:
        raise ValueError("llama.cpp returned no state")
    return state


def _read_back(states: SequenceStates, empty: int, state: Bytes) -> bytes:
    """Return what a state is after llama.cpp has read it."""
    states.clear(empty)
    _expect(states.write_state(empty, state), "llama.cpp did not take a joined state")
    return _read(states, empty).tobytes()


def _expect(is_true: bool, otherwise: str) -> None:
    if not is_true:
        raise ValueError(otherwise)


def read_layout(state: Bytes, n_tokens: int, n_swa: int) -> StateLayout:
    """Return what looks like the layout of the state of a sequence's first tokens.

    Args:
        state: what `llama_state_seq_get_data` wrote.
        n_tokens: how many they are; fewer than the window holds.
        n_swa: tokens that a sliding window holds; 0 for none. With one, the last of several
            attention caches is taken to be that of the layers which have it.

    Raises:
        ValueError: it is none that is understood; why.
    """
    if n_swa and n_tokens >= n_swa:
        raise ValueError("the window is too small")
    is_recurrent = recurrent_end(state[STATE_HEAD:]) == n_tokens
    _expect(not is_recurrent, "all layers are recurrent")
    for parts, at in _attention_parts(state, STATE_HEAD, n_tokens):
        rest = state[at:]
        if not parts or (len(rest) and recurrent_end(rest) != n_tokens):
            continue
        layout = StateLayout(state[:4].tobytes(), parts, (), len(rest), 0)
        if n_swa and len(parts) > 1:
            layout = replace(layout, whole=parts[:-1], windows=parts[-1:], n_swa=n_swa)
        _expect(layout.token_bytes > 0, "no layer keeps keys and values of all tokens")
        return layout
    raise ValueError("the state has parts of an unknown format")


def _attention_parts(
    source: Bytes, at: int, n_tokens: int
) -> Iterator[tuple[tuple[AttentionPart, ...], int]]:
    """Yield attention parts that follow each other, and where they end; most parts first."""
    for part in _candidates(source, at, n_tokens):
        for following, end in _attention_parts(source, at + part.n_bytes(n_tokens), n_tokens):
            yield (part, *following), end
    yield (), at


def _candidates(source: Bytes, at: int, n_tokens: int) -> Iterator[AttentionPart]:
    """Yield what an attention part at `at` could be."""
    for has_ext in (False, True):
        cells = AttentionPart(has_ext, b"", ())
        try:
            _expect(n_cells_at(source, at) == n_tokens, "no cells")
            positions = cells.positions(source[at:], n_tokens).tolist()
            _expect(sorted(positions) == list(range(n_tokens)), "other tokens")
            keys, values = _columns(source, at + cells.data_at(n_tokens), n_tokens)
        except ValueError:
            continue
        data_at = at + cells.data_at(n_tokens)
        head = source[data_at : data_at + DATA_HEAD].tobytes()
        if values:
            yield AttentionPart(has_ext, head, (*keys, *values))
        yield AttentionPart(has_ext, head, keys)  # of models whose values are the keys


def _columns(
    source: Bytes, at: int, n_tokens: int
) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """Return the keys' columns, and the values' where those come next.

    Raises:
        ValueError: there are no columns.
    """
    head = source[at : at + DATA_HEAD]
    _expect(len(head) == DATA_HEAD, "no columns")
    is_transposed, n_layers = map(int, head.view("<u4"))
    _expect(is_transposed <= 1 and n_layers <= _MAX_LAYERS, "no columns")
    keys, at = _kind_of_columns(source, at + DATA_HEAD, n_tokens, n_layers, is_transposed=False)
    try:
        values, _ = _kind_of_columns(
            source, at, n_tokens, n_layers, is_transposed=is_transposed == 1
        )
    except ValueError:
        values = ()
    return keys, values


def _kind_of_columns(
    source: Bytes, at: int, n_tokens: int, n_layers: int, *, is_transposed: bool
) -> tuple[tuple[Column, ...], int]:
    columns: list[Column] = []
    for _ in range(n_layers):
        head = source[at : at + COLUMN_HEAD]
        _expect(len(head) == COLUMN_HEAD, "no column")
        _, low, high = map(int, head.view("<u4"))
        n_bytes = low * high if is_transposed else low + (high << 32)
        at += COLUMN_HEAD + n_tokens * n_bytes
        _expect(0 < n_bytes <= _MAX_COLUMN_BYTES and at <= len(source), "no column")
        _expect(not is_transposed or low in (1, 2, 4, 8), "no column")
        columns.append(Column(head.tobytes(), n_bytes, low if is_transposed else 0))
    return tuple(columns), at
