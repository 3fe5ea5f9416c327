"""Owns the states of a context's sequences: saved and loaded whole, or in pieces by token."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.engine.llama.attention_part import Bytes
from app.engine.llama.bindings import lib
from app.engine.llama.state_layout import (
    STATE_HEAD,
    Buffer,
    StateLayout,
    StateParts,
    recurrent_end,
)


class SequenceStates:
    """The states of a context's sequences.

    Args:
        handle: llama.cpp's of the context.

    Attributes:
        layout: what a state looks like; None where that is not known, and states can only be
            saved and loaded whole.
        layout_error: why not; empty where it is known.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self._memory: Any = lib.llama_get_memory(handle)
        self.layout: StateLayout | None = None
        self.layout_error = "it was not looked for"

    def clear(self, seq_id: int) -> None:
        """Drop all tokens of a sequence."""
        lib.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def copy_range(self, source: int, target: int, start: int, end: int) -> None:
        """Let an empty sequence share the tokens `[start, end)` of another.

        Recurrent layers share their state, whichever the tokens are.
        """
        lib.llama_memory_seq_cp(self._memory, source, target, start, end)

    def save_range(
        self, seq_id: int, spare: int, start: int, end: int, *, with_recurrent: bool
    ) -> StateParts | None:
        """Return what is to be kept of the tokens `[start, end)` of a sequence.

        Args:
            seq_id: the sequence.
            spare: one to copy with; it is clear afterwards.
            start: position of the first token.
            end: the position after the last one.
            with_recurrent: whether the recurrent layers' state belongs to it, where the model
                has any; `end` must be the end of the sequence then.

        Returns:
            None where there is no memory for it, the layout is not known, or the sequence does
            not have these tokens.
        """
        if self.layout is None or not 0 <= start < end:
            return None
        self.clear(spare)
        try:
            self.copy_range(seq_id, spare, start, end)
            state = self.read_state(spare)
            if state is None:
                return None
            parts = self.layout.split(state, with_recurrent=False)
        except (ValueError, MemoryError):
            return None
        finally:
            self.clear(spare)
        if (parts.start, parts.n_tokens) != (start, end):
            return None
        if not with_recurrent or not self.layout.has_recurrent:
            return parts
        # A copy of a sequence that was rolled back does not have its state, but that before it.
        recurrent = self.save_recurrent(seq_id)
        if recurrent is None or recurrent_end(np.frombuffer(recurrent, np.uint8)) != end:
            return None
        return replace(parts, recurrent=recurrent)

    def save_recurrent(self, seq_id: int) -> bytes | None:
        """Return the recurrent layers' state of a sequence.

        Returns:
            None where the model has none, the layout is not known, or there is no memory for it.
        """
        if self.layout is None or not self.layout.has_recurrent:
            return None
        state = self.read_state(seq_id, partial=True)
        if state is None or len(state) != STATE_HEAD + self.layout.recurrent_bytes:
            return None
        return state[STATE_HEAD:].tobytes()

    def load_parts(
        self,
        seq_id: int,
        n_tokens: int,
        rows: Sequence[Buffer],
        window_rows: Sequence[Buffer] = (),
        recurrent: bytes = b"",
    ) -> bool:
        """Make a cleared sequence hold `n_tokens` tokens that `save_range` took apart.

        Args:
            seq_id: the sequence.
            n_tokens: how many they are.
            rows: of `[0, n_tokens)`, in any number of pieces.
            window_rows: of the last of them, as far as the window reaches back.
            recurrent: the recurrent layers' state at `n_tokens`.

        Returns:
            False where the KV cache has no room for it, or they are not what they should be; the
            sequence is clear then.
        """
        if self.layout is None:
            return False
        try:
            state = self.layout.join(n_tokens, rows, window_rows, recurrent)
        except (ValueError, MemoryError):
            return False
        return self.load_state(seq_id, state, n_tokens)

    def read_state(self, seq_id: int, *, partial: bool = False) -> Bytes | None:
        """Return a copy of a sequence's state; None where there is no memory for one.

        Args:
            seq_id: the sequence.
            partial: leave out the layers that see everything.
        """
        flags = _flags(partial=partial)
        try:
            state = np.empty(lib.llama_state_seq_get_size_ext(self.handle, seq_id, flags), np.uint8)
        except MemoryError:
            return None
        size = state.size
        written = lib.llama_state_seq_get_data_ext(self.handle, _buffer(state), size, seq_id, flags)
        return state if written == size else None

    def write_state(self, seq_id: int, state: Bytes, *, partial: bool = False) -> bool:
        """Give a sequence a state; say whether llama.cpp took it.

        Args:
            seq_id: the sequence; a clear one, unless the state is partial.
            state: what `read_state` returned.
            partial: whether the layers that see everything are not in it.
        """
        flags, size = _flags(partial=partial), len(state)
        put = lib.llama_state_seq_set_data_ext
        n_read: int = put(self.handle, _buffer(state), size, seq_id, flags)
        return n_read == size

    def n_window_rows(self, seq_id: int) -> int:
        """Return how many tokens of a sequence the layers with a sliding window have.

        Those that the window does not reach any more are not counted. 0 where the layout is not
        known.
        """
        if self.layout is None or not self.layout.windows:
            return 0
        size = lib.llama_state_seq_get_size_ext(self.handle, seq_id, _flags(partial=True))
        return self.layout.n_window_rows(size)

    def state_bytes(self, seq_id: int) -> int:
        """Return the size of a sequence's state in bytes."""
        size: int = lib.llama_state_seq_get_size(self.handle, seq_id)
        return size

    def save_state(self, seq_id: int) -> bytearray | None:
        """Return a copy of a sequence's state; None where there is no memory for one."""
        try:
            state = bytearray(self.state_bytes(seq_id))
        except MemoryError:
            return None
        written = lib.llama_state_seq_get_data(self.handle, _buffer(state), len(state), seq_id)
        return state if written == len(state) else None

    def load_state(self, seq_id: int, state: bytearray | Bytes, n_tokens: int) -> bool:
        """Make a cleared sequence what it was at `save_state`.

        Returns:
            False where the KV cache has no room for it, or it is not a state of `n_tokens`
            tokens; the sequence is clear then.
        """
        n_read = lib.llama_state_seq_set_data(self.handle, _buffer(state), len(state), seq_id)
        if n_read and lib.llama_memory_seq_pos_max(self._memory, seq_id) == n_tokens - 1:
            return True
        self.clear(seq_id)
        return False


def _flags(*, partial: bool) -> int:
    return lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY if partial else 0


def _buffer(state: Any) -> Any:
    return (ctypes.c_uint8 * len(state)).from_buffer(state)
