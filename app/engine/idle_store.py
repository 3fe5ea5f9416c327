"""Owns the idle conversations that left the KV cache for memory; must not know llama.cpp.

Idle tokens in the KV cache are paid for by everyone: attention runs over every cell in use. In
memory they cost nothing until a prompt shares a prefix with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.sequences import common_prefix

MIN_USEFUL_TOKENS = 16


@dataclass(frozen=True, slots=True, eq=False)
class IdleEntry:
    """The state of one sequence.

    Args:
        tokens: what it holds, from position 0.
        state: llama.cpp's bytes of it.
    """

    tokens: list[int]
    state: bytearray


class IdleStore:
    """The entries, the least recently used first.

    Args:
        capacity_bytes: what all states together may take; 0 keeps nothing.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._entries: list[IdleEntry] = []

    @property
    def n_bytes(self) -> int:
        """Memory that the states take."""
        return sum(len(entry.state) for entry in self._entries)

    def has(self, tokens: Sequence[int]) -> bool:
        """Whether an entry holds all these tokens."""
        return any(common_prefix(entry.tokens, tokens) == len(tokens) for entry in self._entries)

    def wants(self, tokens: Sequence[int], n_bytes: int) -> bool:
        """Whether an entry is worth making: long enough, small enough, and not here yet."""
        fits = n_bytes <= self._capacity_bytes
        return len(tokens) >= MIN_USEFUL_TOKENS and fits and not self.has(tokens)

    def put(self, entry: IdleEntry) -> None:
        """Take an entry in; those that are a prefix of it and the oldest ones make room."""
        longer = len(entry.tokens)
        self._entries = [
            old
            for old in self._entries
            if len(old.tokens) > longer or common_prefix(old.tokens, entry.tokens) < len(old.tokens)
        ]
        self._entries.append(entry)
        while self.n_bytes > self._capacity_bytes:
            del self._entries[0]

    def best(self, prompt: Sequence[int]) -> tuple[IdleEntry, int] | None:
        """Return the entry that shares the longest prefix with a prompt, and its length.

        The entry counts as used now. None where no entry shares `MIN_USEFUL_TOKENS`.
        """
        shared = [(common_prefix(entry.tokens, prompt), entry) for entry in self._entries]
        n_shared, entry = max(shared, key=lambda pair: pair[0], default=(0, None))
        if entry is None or n_shared < MIN_USEFUL_TOKENS:
            return None
        self._entries.remove(entry)
        self._entries.append(entry)
        return entry, n_shared
