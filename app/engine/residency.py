"""Owns what is in the KV cache: brings a prompt's known prefix in, moves idle sequences out.

The KV cache holds what running requests need. Idle sequences are copied to memory while the
engine has nothing to do, and leave the KV cache when the next request starts; a later prompt
brings them back, or an entry on disk where that has more of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.disk_tier import DiskTier
from app.engine.idle_store import MIN_USEFUL_TOKENS, IdleEntry, IdleStore
from app.engine.llama import Context
from app.engine.sequences import Lease, SequencePool, Slot, common_prefix


@dataclass(frozen=True, slots=True)
class Hit:
    """What was known of a prompt.

    Args:
        n_tokens: leading tokens that need no prefill.
        tier: where they were: `memory`, `disk` or `none`.
        restore_ms: what bringing them back took.
        n_branch: where the prompt parts from another one; 0 where it goes on with it.
    """

    n_tokens: int
    tier: str
    restore_ms: float
    n_branch: int


class Residency:
    """The sequences of one context, the idle ones in memory and the entries on disk.

    Args:
        context: whose KV cache it is; it has one sequence more than the pool, to copy with.
        pool: which tokens its sequences hold.
        store: where idle sequences go.
        disk: where prompts outlive the process.
        can_cut: whether a sequence may lose its end (not so in recurrent models).
    """

    def __init__(
        self,
        context: Context,
        pool: SequencePool,
        store: IdleStore,
        disk: DiskTier,
        *,
        can_cut: bool = True,
    ) -> None:
        self._context = context
        self._pool = pool
        self._spare = Slot(len(pool.slots))
        self._can_cut = can_cut
        self.store = store
        self.disk = disk
        self.misses: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self.n_restored = 0

    @property
    def kv_tokens(self) -> int:
        """Tokens in the KV cache; shared prefixes count once per sequence."""
        return self._pool.n_tokens

    def bring(self, lease: Lease, tokens: Sequence[int]) -> Hit:
        """Make a leased sequence hold as many leading tokens of a prompt as are known.

        Returns:
            How many they are, never more than `tokens`, and where they were.
        """
        self._settle(lease)
        began_s = time.monotonic()
        known = self.store.best(tokens)
        n_shared = _n_shared(lease)
        n_memory = max(n_shared, known[1] if known else 0)
        n_branch = self._branch(lease, known, tokens)
        n_tokens, tier = self._bring_from_disk(lease, tokens, n_memory), "disk"
        if not n_tokens:
            n_tokens, tier = self._bring_from_memory(lease, known, n_shared), "memory"
        if not n_tokens:
            tier = "none"
            self.misses[self._why_none(tokens, n_memory)] += 1
        self.hits[tier] += 1
        self.n_restored += n_tokens
        restore_ms = round((time.monotonic() - began_s) * 1000.0, 3)
        return Hit(n_tokens, tier, restore_ms if n_tokens else 0.0, n_branch)

    def _settle(self, lease: Lease) -> None:
        """Save what the lease displaces and put the cells in order."""
        slot = lease.slot
        self._save(slot.seq_id, lease.displaced)
        if self._pool.has_busy_besides(slot):
            self._pool.note_company()
        else:
            self._tidy(lease)
            slot.is_clean = not self._pool.idle()

    def _bring_from_disk(self, lease: Lease, tokens: Sequence[int], n_memory: int) -> int:
        if n_memory == len(tokens):
            return 0
        found = self.disk.find(tokens)
        if found is None or found.n_shared < n_memory + MIN_USEFUL_TOKENS:
            return 0
        snapshot = self.disk.read(found)
        if snapshot is None:
            self.misses["bad_entry"] += 1
            return 0
        n_held = len(lease.slot.tokens) if lease.source is None else 0
        n_tokens = self._restore(lease.slot, snapshot.state, found.n_shared)
        if not n_tokens and n_held:  # what the slot held is gone
            lease.slot.tokens = []
        return n_tokens

    def _bring_from_memory(
        self, lease: Lease, known: tuple[IdleEntry, int] | None, n_shared: int
    ) -> int:
        if known is not None and known[1] >= n_shared + MIN_USEFUL_TOKENS:
            entry, n_known = known
            n_tokens = self._restore(lease.slot, entry.state, n_known)
            if not n_tokens and not self._pool.has_busy_besides(lease.slot):
                self.store.drop(entry)  # room is not what it lacks
            if n_tokens or lease.source is None:
                return n_tokens
        n_keep = _n_shared(lease)
        if lease.source is None:
            return self._context.keep_prefix(lease.slot.seq_id, n_keep)
        return self._context.copy_prefix(lease.source.seq_id, lease.slot.seq_id, n_keep)

    def _branch(
        self, lease: Lease, known: tuple[IdleEntry, int] | None, tokens: Sequence[int]
    ) -> int:
        """Return where the prompt leaves the one in memory that it shares the most with."""
        held: Sequence[int] = lease.displaced
        if lease.source is not None:
            held = lease.source.tokens
        if known is not None and known[1] > common_prefix(held, tokens):
            held = known[0].tokens
        n_same = common_prefix(held, tokens)
        return n_same if n_same < min(len(held), len(tokens)) else 0

    def _why_none(self, tokens: Sequence[int], n_memory: int) -> str:
        if n_memory:
            return "not_restored"
        if len(tokens) < MIN_USEFUL_TOKENS:
            return "short_prompt"
        return "no_match" if self.store or self.disk.has_entries else "empty"

    def _tidy(self, lease: Lease) -> None:
        """Empty the KV cache for a request that runs alone, as far as all is copied.

        Attention adds up in the order of the cells, and the sum's last bits depend on it. A
        request that always finds its cells in the same places answers the same every time.
        """
        for idle in self._pool.idle():
            self._save(idle.seq_id, idle.tokens)
        self.drop_saved()
        slot = lease.slot
        if lease.source is None and slot.tokens and not slot.is_clean:
            self._save(slot.seq_id, slot.tokens)
            if self.store.has(slot.tokens):
                self._clear(slot)

    def save_idle(self) -> bool:
        """Copy one idle sequence to memory, if that is worth it.

        Returns:
            False where none is left.
        """
        slot = next((slot for slot in self._pool.idle() if not slot.was_saved), None)
        if slot is None:
            return False
        slot.was_saved = True
        self._save(slot.seq_id, slot.tokens)
        return True

    def save_now(self, slot: Slot) -> None:
        """Copy a sequence to memory as it is, in the middle of a prompt."""
        self._save(slot.seq_id, list(slot.tokens))

    def drop_saved(self) -> None:
        """Take the idle sequences out of the KV cache that have been copied to memory."""
        for slot in self._pool.idle():
            if self.store.has(slot.tokens):
                self._clear(slot)

    def make_room(self) -> bool:
        """Move the idle sequence that was used the longest ago to memory.

        Returns:
            False where there is none.
        """
        idle = self._pool.oldest_idle()
        if idle is None:
            return False
        self._save(idle.seq_id, idle.tokens)
        self._clear(idle)
        return True

    def forget(self) -> tuple[int, int]:
        """Forget every sequence that no request works on, in memory and on disk.

        Returns:
            Entries and bytes.
        """
        n_entries, n_bytes = len(self.store), self.store.n_bytes
        for slot in self._pool.idle():
            self._clear(slot)
        self.store.clear()
        on_disk = self.disk.clear()
        return n_entries + on_disk[0], n_bytes + on_disk[1]

    def unsaved(self) -> list[list[int]]:
        """Return the tokens of the sequences that only the KV cache has, running ones too."""
        slots = [slot for slot in self._pool.slots if slot.tokens]
        return [list(slot.tokens) for slot in slots if not self.store.has(slot.tokens)]

    def snapshot(self, tokens: Sequence[int]) -> bytearray | None:
        """Return the state of exactly these tokens; None where no sequence begins with them."""
        slot = next((slot for slot in self._pool.slots if self._serves(slot.tokens, tokens)), None)
        if slot is not None:
            if len(slot.tokens) == len(tokens):
                return self._context.save_state(slot.seq_id)
            n_kept = self._context.copy_prefix(slot.seq_id, self._spare.seq_id, len(tokens))
            return self._taken(n_kept)
        entry = next((entry for entry in self.store if self._serves(entry.tokens, tokens)), None)
        if entry is None or len(entry.tokens) == len(tokens):
            return entry.state if entry else None
        return self._taken(self._restore(self._spare, entry.state, len(tokens)))

    def _serves(self, held: Sequence[int], tokens: Sequence[int]) -> bool:
        is_whole = common_prefix(held, tokens) == len(tokens)
        return is_whole and (self._can_cut or len(held) == len(tokens))

    def _taken(self, n_kept: int) -> bytearray | None:
        """Return the state of the spare sequence and clear it."""
        state = self._context.save_state(self._spare.seq_id) if n_kept else None
        self._context.clear(self._spare.seq_id)
        return state

    def closest(self, tokens: Sequence[int]) -> Sequence[int] | None:
        """Return the cached prompt that shares the most with this one, or the latest one."""
        latest = max(self._pool.slots, key=lambda slot: slot.last_used)
        held: list[Sequence[int]] = [slot.tokens for slot in self._pool.slots if slot.tokens]
        held += [entry.tokens for entry in reversed(list(self.store))]
        held.sort(key=lambda other: other is not latest.tokens)
        on_disk = self.disk.tokens_like(tokens)
        if on_disk is not None:
            held.append(on_disk)
        return max(held, key=lambda other: common_prefix(other, tokens), default=None)

    def _clear(self, slot: Slot) -> None:
        self._context.clear(slot.seq_id)
        slot.tokens = []

    def _save(self, seq_id: int, tokens: list[int]) -> None:
        if len(tokens) < MIN_USEFUL_TOKENS:
            return
        n_bytes = self._context.state_bytes(seq_id)
        if not self.store.wants(tokens, n_bytes):
            return
        self.store.make_room(tokens, n_bytes)
        state = self._context.save_state(seq_id)
        if state is not None:
            self.store.put(IdleEntry(tokens, state))

    def _restore(self, slot: Slot, state: bytearray, n_keep: int) -> int:
        self._context.clear(slot.seq_id)
        while not self._context.load_state(slot.seq_id, state):
            if not self.make_room():
                return 0
        return self._context.keep_prefix(slot.seq_id, n_keep)


def _n_shared(lease: Lease) -> int:
    """Return the tokens a lease promises that are still in the KV cache.

    What held them may have moved out since.
    """
    return min(lease.n_keep, len((lease.source or lease.slot).tokens))
