"""Owns copying sequences between the KV cache and what memory and disk keep of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from app.engine.kv.disk_tier import DISK, DiskCacheTier
from app.engine.kv.memory_store import MemoryState, MemoryStore
from app.engine.kv.restoring.lookup import Plan
from app.engine.kv.restoring.read_ahead import Reading
from app.engine.kv.state_shape import StateShape
from app.engine.llama import Context
from app.promptcache import BlockContent, Bytes, Link, PrefixMatch, Snapshot

_Rows = npt.NDArray[np.uint8]


class Unreadable(Exception):
    """A block or a state that a plan names is damaged or gone; another plan may do without."""


class StateCopier:
    """Takes snapshots of sequences, and makes sequences of what is kept.

    Args:
        context: has the sequences.
        shape: what of their states is kept how.
        spare: a sequence that nobody else uses, empty between calls.
        store: the memory tier.
        disk: the disk tier.
    """

    def __init__(
        self,
        context: Context,
        shape: StateShape,
        spare: int,
        store: MemoryStore,
        disk: DiskCacheTier,
    ) -> None:
        self._context = context
        self._shape = shape
        self._spare = spare
        self._store = store
        self._disk = disk

    def take(
        self, seq_id: int, n_held: int, start: int, end: int, *, with_state: bool
    ) -> Snapshot | None:
        """Copy a part of a sequence.

        Args:
            n_held: tokens of the sequence.
            start: position of the first row, at the beginning of a page.
            end: position after the last one.
            with_state: whether a state is wanted where the model has any; only at `n_held`.

        Returns:
            None where there is no memory for it, no state after `end`, or the sequence is not what
            it is taken for: what is kept under the name of some tokens is theirs.
        """
        wants_state = with_state and self._shape.needs_state
        n_there = self._context.n_held(seq_id)
        if end > n_there or (wants_state and not end == n_held == n_there):
            return None
        if self._shape.is_whole:
            return _only_state(end, self._context.save_state(seq_id) if wants_state else b"")
        if start == end:
            return _only_state(end, self._context.save_recurrent(seq_id) if wants_state else b"")
        parts = self._context.save_range(
            seq_id, self._spare, start, end, with_recurrent=wants_state
        )
        if parts is None:
            return None
        state = parts.recurrent if wants_state else None
        return Snapshot(
            end, start, _flat(parts.rows), parts.window_start, _flat(parts.window_rows), state
        )

    def n_bytes(self, seq_id: int, n_rows: int, *, with_state: bool) -> int:
        """Return about what a snapshot of a sequence would take.

        Args:
            n_rows: how many rows.
        """
        if self._shape.is_whole:
            return self._context.state_bytes(seq_id)
        return self._shape.row_bytes(n_rows) + self._shape.state_bytes * with_state

    def gather(self, plan: Plan, start: int) -> Snapshot | None:
        """Copy out of memory what a plan restores.

        Args:
            plan: names nothing on the disk.
            start: position of the first row, at the beginning of a page.
        """
        if plan.tier == "disk":
            return None
        end = plan.n_tokens
        state = plan.state.data if isinstance(plan.state, MemoryState) else None
        if self._shape.is_whole:
            return Snapshot(end, end, b"", end, b"", state)
        rows = [self._store_rows(x, start) for x in plan.links if x.end > start]
        window_start, windows = self._windows(plan, start)
        return Snapshot(end, start, b"".join(rows), window_start, b"".join(windows), state)

    def _store_rows(self, link: Link, start: int) -> memoryview:
        block, size = self._store.block(link.block_id), self._shape.token_bytes
        first, last = max(link.start, start) - block.start, link.end - block.start
        return block.rows[first * size : last * size]

    def _windows(self, plan: Plan, start: int) -> tuple[int, list[memoryview]]:
        """Return the window rows at the end of a plan that have no gap, and where they begin."""
        size = self._shape.window_token_bytes
        first, found = plan.n_tokens, []
        lowest = max(start, plan.n_tokens - self._shape.n_window)
        for link in reversed(plan.links):
            block = self._store.block(link.block_id)
            begins = max(link.start, block.window_start, lowest)
            if not size or link.end != first or begins >= link.end:
                break
            offset = block.window_start
            found.append(block.window_rows[(begins - offset) * size : (link.end - offset) * size])
            first = begins
            if begins > link.start:
                break
        return first, found[::-1]

    def load(self, seq_id: int, plan: Plan, reading: Reading | None = None) -> bool:
        """Make a sequence hold what a plan restores.

        Args:
            reading: has what was read ahead from the disk.

        Returns:
            False where the KV cache has no room for it; the sequence is clear then.

        Raises:
            Unreadable: a block or the state is damaged or gone.
        """
        self._context.clear(seq_id)
        try:
            return self._load(seq_id, plan, reading or Reading(self._disk))
        except (ValueError, KeyError) as error:  # of another size, or evicted while room was made
            raise Unreadable from error

    def _load(self, seq_id: int, plan: Plan, reading: Reading) -> bool:
        state = self._state(plan.state, reading)
        if self._shape.is_whole:
            whole = state if isinstance(state, bytearray) else bytearray(state)
            return self._context.load_state(seq_id, whole, plan.n_tokens)
        rows: list[_Rows] = []
        windows: list[_Rows] = []
        for held, window_rows in self._parts(plan, reading):
            rows.append(held)
            if window_rows.size:
                windows.append(window_rows)
        return self._context.load_parts(seq_id, plan.n_tokens, rows, windows, bytes(state))

    def _parts(self, plan: Plan, reading: Reading) -> Iterator[tuple[_Rows, _Rows]]:
        size, window_size = self._shape.token_bytes, self._shape.window_token_bytes
        for link in plan.links:
            has_window = bool(window_size) and plan.needs_window(link)
            block = self._block(link, reading, with_window=has_window)
            start, window_start, rows, window_rows = block
            held = _rows(rows, size)[link.start - start : link.end - start]
            first = min(max(link.start, plan.window_from), link.end)
            kept = _rows(window_rows, window_size) if has_window else _rows(b"", window_size)
            yield held, kept[max(0, first - window_start) : max(0, link.end - window_start)]

    def _block(
        self, link: Link, reading: Reading, *, with_window: bool
    ) -> tuple[int, int, Bytes, Bytes]:
        if link.tier != DISK:
            block = self._store.block(link.block_id)
            return block.start, block.window_start, block.rows, block.window_rows
        content = reading.block(link.block_id, with_window=with_window)
        known = self._disk.block(link.block_id) if with_window else None
        if content is not None and known is not None and content.window_start > known.window_start:
            content = self._disk.read_block(link.block_id)  # written anew since, or read without
        if content is None or not self._has_its_rows(content):
            raise Unreadable
        return content.start, content.window_start, content.rows, content.window_rows

    def _has_its_rows(self, content: BlockContent) -> bool:
        """Whether a block has as many bytes for each token as the model keeps."""
        shape, end = self._shape, content.end
        expected = (end - content.start) * shape.token_bytes
        windows = (end - content.window_start) * shape.window_token_bytes
        return (len(content.rows), len(content.window_rows)) == (expected, windows)

    def _state(self, state: MemoryState | PrefixMatch | None, reading: Reading) -> Bytes:
        if state is None:
            return b""
        if isinstance(state, MemoryState):
            return state.data
        content = reading.state(state)
        is_whole, expected = self._shape.is_whole, self._shape.state_bytes
        if content is None or not (is_whole or len(content.state) == expected):
            raise Unreadable
        return content.state


def _only_state(n_tokens: int, state: Bytes | None) -> Snapshot | None:
    if state is None:
        return None
    return Snapshot(n_tokens, n_tokens, b"", n_tokens, b"", state or None)


def _flat(rows: _Rows) -> memoryview:
    return np.ascontiguousarray(rows).reshape(-1).data


def _rows(data: Bytes, size: int) -> _Rows:
    if not size:
        return np.zeros((0, 0), np.uint8)
    return np.frombuffer(data, np.uint8).reshape(-1, size)
