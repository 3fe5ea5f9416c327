"""Owns what of a model's state is kept how: rows, window rows and states; no llama.cpp here."""

from __future__ import annotations

from dataclasses import dataclass

_HEAD_TOKENS = 1000
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StateShape:
    """What the state of a sequence consists of.

    Args:
        token_bytes: attention rows of one token, in the layers that see all tokens before.
        window_token_bytes: those of one token in the layers that see a window.
        n_window: how many tokens such a layer sees; 0 where there is none.
        state_bytes: about what is no rows: the state of recurrent layers after some tokens.
        is_whole: whether llama.cpp's state is kept as a whole instead, since what it consists of
            is not known; such a state is of use only after exactly its tokens.
        whole_reason: why it is kept as a whole; empty where it is not.
    """

    token_bytes: int
    window_token_bytes: int = 0
    n_window: int = 0
    state_bytes: int = 0
    is_whole: bool = False
    whole_reason: str = ""

    @property
    def layout(self) -> str:
        """How it is kept: in `blocks`, in `blocks_and_states` or in `whole_states`."""
        if self.is_whole:
            return "whole_states"
        return "blocks_and_states" if self.state_bytes else "blocks"

    @property
    def needs_state(self) -> bool:
        """Whether a sequence can go on only where a state was saved."""
        return self.is_whole or self.state_bytes > 0

    @property
    def can_cut(self) -> bool:
        """Whether what is kept of a sequence serves for any of its beginnings."""
        return not self.needs_state and not self.n_window

    def row_bytes(self, n_tokens: int) -> int:
        """Return what the rows of so many tokens take, at most."""
        return n_tokens * self.token_bytes + min(n_tokens, self.n_window) * self.window_token_bytes

    def shortage(self, capacity_bytes: int) -> str:
        """Return why so much memory for idle sequences is too little; empty where it is not.

        The head of a conversation and two states have to fit, or what the next prompt could go on
        from leaves memory before it comes. 0 bytes keep nothing, and that is meant.
        """
        needed = self.row_bytes(_HEAD_TOKENS) + 2 * self.state_bytes
        if not 0 < capacity_bytes < needed:
            return ""
        parts = f"{_HEAD_TOKENS:,} tokens" + (" and two states" if self.state_bytes else "")
        return f"idle_cache_mb is too small for this model: {parts} take {-(-needed // _MIB)} MiB"


NO_STATE = StateShape(0)
"""That of a sequence of which nothing is kept."""
