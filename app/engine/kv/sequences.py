"""Owns which tokens each sequence of the KV cache holds; must not know llama.cpp or requests.

A finished request leaves its tokens in its sequence. The next request takes over the sequence
that shares the longest prefix with it, or copies that prefix where taking it over would throw
away a longer conversation.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence as TokenList
from dataclasses import dataclass, field

from app.base.prefix import common_prefix


@dataclass(slots=True)
class Slot:
    """One sequence of the KV cache.

    Args:
        seq_id: llama.cpp's number of the sequence.
        tokens: the tokens whose keys and values it holds, from position 0.
        busy: whether a request works on it.
        last_used: a counter, higher is later.
        is_clean: whether its cells are the first of the KV cache, in order, as if it had always
            been alone.
        was_saved: whether it was copied to memory, or found not worth it, since it went idle.
        idle_since_s: when it went idle, in seconds of the monotonic clock.
    """

    seq_id: int
    tokens: list[int] = field(default_factory=list)
    busy: bool = False
    last_used: int = 0
    is_clean: bool = False
    was_saved: bool = False
    idle_since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot for a prompt and how much of it is there already.

    Args:
        slot: now busy.
        n_keep: leading tokens of the prompt that need no prefill.
        source: the slot to share these tokens from, or None where `slot` holds them itself.
        displaced: what the slot held and will lose; empty where it loses nothing.
    """

    slot: Slot
    n_keep: int
    source: Slot | None
    displaced: list[int] = field(default_factory=list)


class SequencePool:
    """The sequences of one context.

    Args:
        n_seq_max: how many there are.
    """

    def __init__(self, n_seq_max: int) -> None:
        self.slots = [Slot(seq_id) for seq_id in range(n_seq_max)]
        self._clock = itertools.count(1)

    @property
    def n_tokens(self) -> int:
        """Tokens in all sequences; shared prefixes count once per sequence."""
        return sum(len(slot.tokens) for slot in self.slots)

    def lease(self, prompt: TokenList[int]) -> Lease | None:
        """Take a slot for `prompt`, the one that saves the most prefill.

        Returns:
            None when every slot is busy.
        """
        idle = [slot for slot in self.slots if not slot.busy]
        if not idle:
            return None
        best = max(self.slots, key=lambda slot: _rank(slot, prompt))
        n_keep = common_prefix(best.tokens, prompt)
        if n_keep == 0:
            return self._take(_oldest(idle), 0, None)
        if not best.busy and n_keep == len(best.tokens):
            return self._take(best, n_keep, None)
        others = [slot for slot in idle if slot is not best]
        if not others:
            return self._take(best, n_keep, None)
        return self._take(_oldest(others), n_keep, best)

    def _take(self, slot: Slot, n_keep: int, source: Slot | None) -> Lease:
        held = slot.tokens
        slot.tokens = (source or slot).tokens[:n_keep]
        slot.busy = True
        return Lease(slot, n_keep, source, held if held != slot.tokens else [])

    def release(self, slot: Slot) -> None:
        """Release a slot; its tokens stay until it is needed."""
        slot.busy = False
        slot.last_used = next(self._clock)
        slot.was_saved = False
        slot.idle_since_s = time.monotonic()

    def idle(self) -> list[Slot]:
        """Return the slots with tokens that nobody works on."""
        return [slot for slot in self.slots if not slot.busy and slot.tokens]

    def mark_shared(self) -> None:
        """Mark busy sequences as mixed: requests run side by side, and so do their cells."""
        for slot in self.slots:
            slot.is_clean = slot.is_clean and not slot.busy

    def has_other_busy(self, slot: Slot) -> bool:
        """Whether requests work on other slots."""
        return any(other.busy and other is not slot for other in self.slots)

    def contents(self, lease: Lease) -> list[TokenList[int]]:
        """Return what the sequences hold, the latest first, while a lease is not made true yet."""
        latest = sorted(self.slots, key=lambda slot: slot.last_used, reverse=True)
        held = [_held(slot, lease) for slot in latest]
        return [tokens for tokens in held if tokens]

    def oldest_idle(self) -> Slot | None:
        """Return the idle slot with tokens that was used the longest ago."""
        return min(self.idle(), key=lambda slot: slot.last_used, default=None)


def _held(slot: Slot, lease: Lease) -> TokenList[int]:
    if slot is not lease.slot:
        return slot.tokens
    return lease.displaced or ([] if lease.source else slot.tokens)


def _rank(slot: Slot, prompt: TokenList[int]) -> tuple[int, bool]:
    """Rank a slot: by the prefill it saves, then by whether taking it over loses nothing."""
    n_keep = common_prefix(slot.tokens, prompt)
    return n_keep, not slot.busy and n_keep == len(slot.tokens)


def _oldest(slots: list[Slot]) -> Slot:
    return min(slots, key=lambda slot: (bool(slot.tokens), slot.last_used))
