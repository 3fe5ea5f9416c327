"""Owns the shape of what is kept of some tokens: rows of attention state, and a state at their end.

The bytes are opaque here.
"""

from __future__ import annotations

from dataclasses import dataclass

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What is kept of some tokens, apart from what is known already.

    Args:
        n_tokens: how many there are, from position 0.
        start: position of the first row, at the beginning of a page; `n_tokens` for no rows.
        rows: of the layers that see everything, one a token, in the order of the tokens.
        window_start: position of the first window row; `n_tokens` for none.
        window_rows: of the layers with a window, one a token, in the order of the tokens.
        state: of the recurrent layers, or a whole one, at `n_tokens`; None for none.
    """

    n_tokens: int
    start: int
    rows: Bytes
    window_start: int
    window_rows: Bytes
    state: Bytes | None
