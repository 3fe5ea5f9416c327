"""Owns the format of llama.cpp's sequence states: taking them apart by token, and joining them.

`llama_state_seq_get_data` writes 8 bytes and one part for each cache of the model, one after the
other. Those of attention caches become rows, one a token, by position. The last part of a model
with recurrent layers is their state at the last token, which cannot be taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.llama.attention_part import PART_HEAD, AttentionPart, Bytes

Buffer = Bytes | bytes | bytearray | memoryview

STATE_HEAD = 8
"""Bytes before the first part: a magic number and the sequence's id, which is not read back."""


@dataclass(frozen=True, slots=True, eq=False)
class StateParts:
    """What a state holds of the tokens `[start, n_tokens)` of a sequence.

    Attributes:
        start: position of the first row.
        rows: of the layers that see everything; one row a token.
        window_start: position of the first window row; `n_tokens` where there are none.
        window_rows: of the layers with a sliding window, those that it still reaches.
        recurrent: the recurrent layers' state at `n_tokens`; empty where the model has none, or
            where it was of another position.
    """

    start: int
    rows: Bytes
    window_start: int
    window_rows: Bytes
    recurrent: bytes

    @property
    def n_tokens(self) -> int:
        """The position after the last row."""
        return self.start + len(self.rows)


@dataclass(frozen=True, slots=True)
class StateLayout:
    """What the states of a model's sequences look like.

    Attributes:
        magic: what each begins with.
        whole: the caches of layers that see everything.
        windows: the caches of layers with a sliding window, which come after those.
        recurrent_bytes: of the recurrent layers' state, the end of the state; 0 without any.
        n_swa: tokens that the window holds; 0 where there are no such layers.
    """

    magic: bytes
    whole: tuple[AttentionPart, ...]
    windows: tuple[AttentionPart, ...]
    recurrent_bytes: int
    n_swa: int

    @property
    def token_bytes(self) -> int:
        """Bytes of a row."""
        return sum(part.token_bytes for part in self.whole)

    @property
    def window_token_bytes(self) -> int:
        """Bytes of a window row; 0 where no layer has a window."""
        return sum(part.token_bytes for part in self.windows)

    @property
    def has_recurrent(self) -> bool:
        """Whether restoring takes a recurrent state besides the rows."""
        return self.recurrent_bytes > 0

    def n_bytes(self, n_rows: int, n_window_rows: int) -> int:
        """Return the size of a state."""
        whole = sum(part.n_bytes(n_rows) for part in self.whole)
        windows = sum(part.n_bytes(n_window_rows) for part in self.windows)
        return STATE_HEAD + whole + windows + self.recurrent_bytes

    def n_window_rows(self, n_partial_bytes: int) -> int:
        """Return how many window rows are in a partial state, one without the other rows.

        0 where it is of no such size, and where recurrent layers are in it too.
        """
        n_bytes = n_partial_bytes - STATE_HEAD
        n_none, n_one = (sum(part.n_bytes(n) for part in self.windows) for n in (0, 1))
        n_two = sum(part.n_bytes(2) for part in self.windows)
        if n_bytes <= n_none or self.has_recurrent or not self.windows:
            return 0
        n_more, rest = divmod(n_bytes - n_one, n_two - n_one)
        return 0 if rest else 1 + n_more

    def split(self, state: Buffer, *, with_recurrent: bool = True) -> StateParts:
        """Take a state apart; the result shares no memory with it.

        Raises:
            ValueError: it is none of this layout, or its positions are not consecutive.
        """
        source = np.frombuffer(state, np.uint8)
        if source[:4].tobytes() != self.magic:
            raise ValueError("the state begins with another magic number")
        start, rows, at = _split(self.whole, source, STATE_HEAD, None)
        end = start + len(rows)
        window_start, window_rows = end, np.empty((0, self.window_token_bytes), np.uint8)
        if self.windows:
            window_start, window_rows, at = _split(self.windows, source, at, end)
        rest = source[at:]
        if len(rest) != self.recurrent_bytes:
            raise ValueError("the state has another size than its cells make up")
        recurrent = b""
        if with_recurrent and self.has_recurrent and recurrent_end(rest) == end:
            recurrent = rest.tobytes()
        return StateParts(start, rows, window_start, window_rows, recurrent)

    def join(
        self,
        n_tokens: int,
        rows: Sequence[Buffer],
        window_rows: Sequence[Buffer] = (),
        recurrent: bytes = b"",
    ) -> Bytes:
        """Return the state of the first `n_tokens` tokens of a sequence.

        Args:
            n_tokens: how many they are.
            rows: of `[0, n_tokens)`, in any number of pieces.
            window_rows: of the last tokens; as many as the window reaches back.
            recurrent: the recurrent layers' state at `n_tokens`.

        Raises:
            ValueError: they do not make up such a state.
            MemoryError: there is no memory for it.
        """
        pieces = [_as_rows(piece, self.token_bytes) for piece in rows]
        window_pieces = [_as_rows(piece, self.window_token_bytes) for piece in window_rows]
        n_window = sum(map(len, window_pieces))
        if n_tokens < 1 or sum(map(len, pieces)) != n_tokens:
            raise ValueError("there are more or fewer rows than tokens")
        if not self.reaches_back(n_tokens, n_window):
            raise ValueError("there are more or fewer window rows than the window holds")
        if len(recurrent) != self.recurrent_bytes or (
            self.has_recurrent and recurrent_end(np.frombuffer(recurrent, np.uint8)) != n_tokens
        ):
            raise ValueError("the recurrent state is of another model or position")
        state = np.empty(self.n_bytes(n_tokens, n_window), np.uint8)
        state[:4] = np.frombuffer(self.magic, np.uint8)
        state[4:STATE_HEAD] = 0
        at = _join(self.whole, state, STATE_HEAD, 0, pieces)
        at = _join(self.windows, state, at, n_tokens - n_window, window_pieces)
        state[at:] = np.frombuffer(recurrent, np.uint8)
        return state

    def reaches_back(self, n_tokens: int, n_window_rows: int) -> bool:
        """Say whether so many window rows are all that the token after `n_tokens` sees."""
        if not self.windows:
            return n_window_rows == 0
        return min(n_tokens, self.n_swa - 1) <= n_window_rows <= n_tokens


def _split(
    parts: Sequence[AttentionPart], source: Bytes, at: int, end: int | None
) -> tuple[int, Bytes, int]:
    """Return the first row's position, the rows, and where the next part begins.

    Args:
        parts: which ones come next; they hold the same tokens.
        source: the state.
        at: where they begin.
        end: the position after the last row, where rows may lack: the last of them that follow
            each other are returned then. None: all must be there, and at least one.
    """
    start, rows, begin = 0, np.empty((0, 0), np.uint8), 0
    for part in parts:
        n_cells = n_cells_at(source, at)
        section = source[at : at + part.n_bytes(n_cells)]
        if len(section) != part.n_bytes(n_cells):
            raise ValueError("the state ends within its cells")
        first, order = _order(part.positions(section, n_cells), end)
        n_rows = n_cells if isinstance(order, slice) else len(order)
        if begin == 0:
            start, rows = first, np.empty((n_rows, sum(p.token_bytes for p in parts)), np.uint8)
        elif (first, n_rows) != (start, len(rows)):
            raise ValueError("the caches hold other tokens than each other")
        if n_rows:
            part.take(section, n_cells, order, rows[:, begin : begin + part.token_bytes])
        at, begin = at + len(section), begin + part.token_bytes
    return start, rows, at


def _order(positions: npt.NDArray[np.int64], end: int | None) -> tuple[int, Any]:
    """Return the first position and which cell each row is; see `_split`."""
    n_cells = len(positions)
    if n_cells == 0 and end is None:
        raise ValueError("the state has no cells")
    if n_cells == 0:
        return end or 0, slice(None)
    first, last = int(positions.min()), int(positions.max())
    if first < 0 or (end is not None and last != end - 1):
        raise ValueError("the state has cells of other positions")
    steps = np.diff(positions)
    if (steps == 1).all():
        return first, slice(None)
    order = np.argsort(positions, kind="stable")
    gaps = np.flatnonzero(np.diff(positions[order]) != 1)
    if len(gaps) == 0:
        return first, order
    if end is None:
        raise ValueError("the positions are not consecutive")
    order = order[gaps[-1] + 1 :]
    return end - len(order), order


def _join(
    parts: Sequence[AttentionPart], state: Bytes, at: int, start: int, pieces: Sequence[Bytes]
) -> int:
    """Write rows at `at`, and return where the next part begins."""
    n_rows, begin = sum(map(len, pieces)), 0
    for part in parts:
        end = begin + part.token_bytes
        n_bytes = part.n_bytes(n_rows)
        part.put(state[at : at + n_bytes], start, [piece[:, begin:end] for piece in pieces])
        at, begin = at + n_bytes, end
    return at


def _as_rows(piece: Buffer, token_bytes: int) -> Bytes:
    data = np.frombuffer(piece, np.uint8) if not isinstance(piece, np.ndarray) else piece
    if token_bytes == 0 or data.dtype != np.uint8 or data.size % token_bytes:
        raise ValueError("the rows are of another size")
    return data.reshape(-1, token_bytes)


def n_cells_at(source: Bytes, at: int) -> int:
    """Return how many cells the attention part at `at` has.

    Raises:
        ValueError: there is none.
    """
    head = source[at : at + PART_HEAD]
    if len(head) < PART_HEAD:
        raise ValueError("the state ends before its cells")
    n_streams, n_cells = map(int, head.view("<u4"))
    if n_streams != 1:
        raise ValueError("the state has several streams")
    return n_cells


def recurrent_end(recurrent: Bytes) -> int:
    """Return the position after the token that a recurrent state is of; -1 for no such state."""
    if len(recurrent) < PART_HEAD:
        return -1
    n_cells, position = map(int, recurrent[:PART_HEAD].view("<i4"))
    return position + 1 if n_cells == 1 else -1
