"""Owns snapshots of made-up states: rows that are their tokens."""

from __future__ import annotations

from collections.abc import Sequence

from app.promptcache import Snapshot
from tests.engine.fake_llama import state_after


def snapshot_of(
    tokens: Sequence[int], start: int = 0, *, with_state: bool = False, n_window: int = 0
) -> Snapshot:
    """Return what `CellCache` would give of tokens below 256 from `start` on."""
    n_tokens = len(tokens)
    window_start = max(start, n_tokens - n_window) if n_window else n_tokens
    windows = bytes(token for token in tokens[window_start:] for _ in range(2))
    state = state_after(tokens) if with_state else None
    return Snapshot(n_tokens, start, bytes(tokens[start:]), window_start, windows, state)
