"""Owns the idle conversations that left the KV cache for memory; must not know llama.cpp.

Idle tokens in the KV cache are paid for by everyone: attention runs over every cell in use. In
memory they cost nothing until a prompt shares a prefix with them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from app.base.prefix import common_prefix

MIN_USEFUL_TOKENS = 16


@dataclass(slots=True, eq=False)
class MemoryEntry:
    """The state of one sequence.

    Args:
        tokens: what it holds, from position 0.
        state: llama.cpp's bytes of it.
        since_s: when it was made, in seconds of the monotonic clock.
        was_offered: whether the disk tier has been asked to take it.
    """

    tokens: list[int]
    state: bytearray
    since_s: float = field(default_factory=time.monotonic)
    was_offered: bool = False


class MemoryStore:
    """The entries, the least recently used first.

    Args:
        capacity_bytes: what all states together may take; 0 keeps nothing.
        can_cut: whether a restored sequence may lose its end; where it may not (recurrent
            models, and those with a sliding window), an entry serves only prompts that begin
            with all of it.
    """

    def __init__(self, capacity_bytes: int, *, can_cut: bool = True) -> None:
        self._capacity_bytes = capacity_bytes
        self.can_cut = can_cut
        self._entries: list[MemoryEntry] = []

    @property
    def n_bytes(self) -> int:
        """Memory that the states take."""
        return sum(len(entry.state) for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[MemoryEntry]:
        return iter(self._entries)

    @property
    def capacity_bytes(self) -> int:
        """Memory that the states may take."""
        return self._capacity_bytes

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()

    def has(self, tokens: Sequence[int]) -> bool:
        """Whether an entry can serve in the place of these tokens."""
        return self.covering(tokens) is not None

    def covering(self, tokens: Sequence[int]) -> MemoryEntry | None:
        """Return an entry that can serve in the place of these tokens, None where none can."""
        found = (entry for entry in self._entries if self._replaces(entry.tokens, tokens))
        return next(found, None)

    def _replaces(self, held: Sequence[int], tokens: Sequence[int]) -> bool:
        whole = common_prefix(held, tokens) == len(tokens)
        return whole and (self.can_cut or len(held) == len(tokens))

    def wants(self, tokens: Sequence[int], n_bytes: int) -> bool:
        """Whether an entry is worth making: long enough, small enough, and not here yet."""
        fits = n_bytes <= self._capacity_bytes
        return len(tokens) >= MIN_USEFUL_TOKENS and fits and not self.has(tokens)

    def make_room(self, tokens: Sequence[int], n_bytes: int) -> list[MemoryEntry]:
        """Forget what an entry of these tokens replaces, and the oldest, until it fits.

        Returns:
            The forgotten ones that nothing replaces.
        """
        self._entries = [old for old in self._entries if not self._replaces(tokens, old.tokens)]
        dropped = []
        while self._entries and self.n_bytes + n_bytes > self._capacity_bytes:
            dropped.append(self._entries.pop(0))
        return dropped

    def put(self, entry: MemoryEntry) -> None:
        """Take an entry in, for which there is room."""
        self._entries.append(entry)

    def drop(self, entry: MemoryEntry) -> None:
        """Forget an entry; one that is not here is no error."""
        self._entries = [each for each in self._entries if each is not entry]

    def best(
        self, prompt: Sequence[int], skip: Collection[MemoryEntry] = ()
    ) -> tuple[MemoryEntry, int] | None:
        """Return the entry that shares the longest prefix with a prompt, and its length.

        The entry counts as used now. None where no entry shares `MIN_USEFUL_TOKENS`.

        Args:
            skip: entries that are of no use to the caller.
        """
        shared = [
            (n_shared, entry)
            for entry in self._entries
            if entry not in skip
            if (n_shared := common_prefix(entry.tokens, prompt)) == len(entry.tokens)
            or self.can_cut
        ]
        n_shared, entry = max(shared, key=lambda pair: pair[0], default=(0, None))
        if entry is None or n_shared < MIN_USEFUL_TOKENS:
            return None
        self._entries.remove(entry)
        self._entries.append(entry)
        return entry, n_shared
