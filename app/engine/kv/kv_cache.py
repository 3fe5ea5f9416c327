"""Owns what is in the KV cache: restores cached prefixes, moves idle sequences out.

The KV cache holds what running requests need. Idle sequences are copied to memory while the
engine has nothing to do, and leave the KV cache when the next request starts; a later prompt
brings them back, or an entry on disk where that has more of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.base.prefix import common_prefix
from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.hit_counts import Hit, HitCounter
from app.engine.kv.memory_store import MIN_USEFUL_TOKENS, MemoryEntry, MemoryStore
from app.engine.kv.sequences import Lease, SequencePool, Slot
from app.engine.llama import Context
from app.engine.system.throughput import Throughput
from app.promptcache import PrefixMatch

_MAX_TRIES = 3
_READ_BYTES_PER_S = 150e6  # of flash memory on such devices; checking included


class KvCache:
    """The sequences of one context, the idle ones in memory and the entries on disk.

    Args:
        context: whose KV cache it is; it has one sequence more than the pool, to copy with.
        pool: which tokens its sequences hold.
        store: where idle sequences go.
        disk: where prompts outlive the process.
        throughput: knows what prefill costs.
        can_cut: whether a sequence may lose its end (not so in recurrent models).
    """

    def __init__(
        self,
        context: Context,
        pool: SequencePool,
        store: MemoryStore,
        disk: DiskCacheTier,
        throughput: Throughput,
        *,
        can_cut: bool = True,
    ) -> None:
        self._context = context
        self._pool = pool
        self._throughput = throughput
        self._spare = Slot(len(pool.slots))
        self.can_cut = can_cut
        self.store = store
        self.disk = disk
        self.hits = HitCounter()

    @property
    def kv_tokens(self) -> int:
        """Tokens in the KV cache; shared prefixes count once per sequence."""
        return self._pool.n_tokens

    def restore_prefix(self, lease: Lease, tokens: Sequence[int]) -> Hit:
        """Make a leased sequence hold the longest cached prefix of a prompt.

        Returns:
            How many they are, never more than `tokens`, and where they were.
        """
        lease = self._prepare(lease)
        began_s = time.monotonic()
        known = self.store.best(tokens)
        n_shared = self._n_shared(lease)
        n_memory = max(n_shared, known[1] if known else 0)
        n_branch = self._branch(lease, known, tokens)
        has_match = n_memory >= MIN_USEFUL_TOKENS or self.disk.find(tokens) is not None
        n_tokens, tier = self._restore_from_disk(lease, tokens, n_memory), "disk"
        if not n_tokens:
            n_tokens, tier = self._restore_from_memory(lease, known, n_shared), "memory"
        restore_ms = round((time.monotonic() - began_s) * 1000.0, 3)
        if n_tokens:
            miss = "" if n_tokens >= MIN_USEFUL_TOKENS else "no_match"
            return Hit(n_tokens, tier, restore_ms, n_branch, miss)
        return Hit(0, "none", 0.0, n_branch, self._miss_reason(tokens, has_match=has_match))

    def _prepare(self, lease: Lease) -> Lease:
        """Save what the lease displaces and compact the cells; return the lease as it is then."""
        slot = lease.slot
        self._save(slot.seq_id, lease.displaced, is_leaving=True)
        if self._pool.has_other_busy(slot):
            self._pool.mark_shared()
            return lease
        lease = self._compact(lease)
        slot.is_clean = not self._pool.idle()
        return lease

    def _restore_from_disk(self, lease: Lease, tokens: Sequence[int], n_memory: int) -> int:
        skip: set[str] = set()
        while n_memory < len(tokens) and len(skip) < _MAX_TRIES:
            found = self.disk.find(tokens, skip)
            if found is None or found.n_shared < n_memory + MIN_USEFUL_TOKENS:
                break
            skip.add(found.entry_id)
            if found.n_tokens > self._context.n_ctx or not self._is_worth_reading(found, n_memory):
                continue
            snapshot = self.disk.read(found)
            if snapshot is None:
                continue
            if lease.source is None:
                lease.slot.tokens = []  # in either case what it held is gone
            n_tokens = self._restore(lease.slot, snapshot.tokens, snapshot.state, found.n_shared)
            if n_tokens:
                return n_tokens
        return 0

    def _is_worth_reading(self, found: PrefixMatch, n_memory: int) -> bool:
        """Whether reading an entry is faster than the prefill that it saves."""
        saved_s = (found.n_shared - n_memory) / self._throughput.prefill_tokens_per_s
        return found.n_bytes / _READ_BYTES_PER_S < saved_s

    def _restore_from_memory(
        self, lease: Lease, known: tuple[MemoryEntry, int] | None, n_shared: int
    ) -> int:
        if known is not None and known[1] >= n_shared + MIN_USEFUL_TOKENS:
            entry, n_known = known
            n_tokens = self._restore(lease.slot, entry.tokens, entry.state, n_known)
            if not n_tokens and not self._pool.has_other_busy(lease.slot):
                self.store.drop(entry)  # room is not what it lacks
            if n_tokens or lease.source is None:
                return n_tokens
        n_keep = self._n_shared(lease)
        if lease.source is None:
            return self._context.keep_prefix(lease.slot.seq_id, n_keep)
        return self._context.copy_prefix(lease.source.seq_id, lease.slot.seq_id, n_keep)

    def _branch(
        self, lease: Lease, known: tuple[MemoryEntry, int] | None, tokens: Sequence[int]
    ) -> int:
        """Return where the prompt leaves the one in memory that it shares the most with."""
        held: Sequence[int] = lease.displaced
        if lease.source is not None:
            held = lease.source.tokens
        if known is not None and known[1] > common_prefix(held, tokens):
            held = known[0].tokens
        n_same = common_prefix(held, tokens)
        return n_same if n_same < min(len(held), len(tokens)) else 0

    def _miss_reason(self, tokens: Sequence[int], *, has_match: bool) -> str:
        if has_match:
            return "not_restored"
        if len(tokens) < MIN_USEFUL_TOKENS:
            return "short_prompt"
        return "no_match" if self.store or self.disk.has_entries else "empty"

    def _n_shared(self, lease: Lease) -> int:
        """Return the tokens a lease promises that are still in the KV cache.

        What held them may have moved out since. Memory that cannot be cut gives all or nothing.
        """
        held = lease.displaced if lease.source is None else lease.source.tokens
        if not self.can_cut and len(held) > lease.n_keep:
            return 0
        return min(lease.n_keep, len((lease.source or lease.slot).tokens))

    def _compact(self, lease: Lease) -> Lease:
        """Empty the KV cache for a request that runs alone, as far as all is copied.

        Attention adds up in the order of the cells, and the sum's last bits depend on it. A
        request that always finds its cells in the same places answers the same every time.
        """
        for idle in self._pool.idle():
            self._save(idle.seq_id, idle.tokens)
        lease, slot = self._take_over(lease), lease.slot
        self.drop_saved()
        if lease.source is None and slot.tokens and not slot.is_clean:
            self._save(slot.seq_id, slot.tokens)
            if self.store.has(slot.tokens):
                self._clear(slot)
        return lease

    def _take_over(self, lease: Lease) -> Lease:
        """Let a lone request go on in the cells of a clean sequence whose rest is in memory.

        Its cells are then where a copy brought back from memory would put them.
        """
        source, slot = lease.source, lease.slot
        if source is None or not source.is_clean or not self.store.has(source.tokens):
            return lease
        if self._context.copy_prefix(source.seq_id, slot.seq_id, lease.n_keep) < lease.n_keep:
            return lease
        self._clear(source)
        slot.is_clean = True
        return Lease(slot, lease.n_keep, None)

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
        self._save(idle.seq_id, idle.tokens, is_leaving=True)
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

    def unsaved(self, idle_before_s: float | None = None) -> list[list[int]]:
        """Return the tokens of the sequences that only the KV cache has, running ones too.

        Args:
            idle_before_s: leave out those that are not idle since then.
        """
        return [
            list(slot.tokens)
            for slot in self._pool.slots
            if slot.tokens and not self.store.has(slot.tokens)
            if idle_before_s is None or (not slot.busy and slot.idle_since_s <= idle_before_s)
        ]

    def snapshot(self, tokens: Sequence[int]) -> bytearray | None:
        """Return the state of exactly these tokens; None where no sequence begins with them."""
        slot = next((slot for slot in self._pool.slots if self._covers(slot.tokens, tokens)), None)
        if slot is not None:
            if len(slot.tokens) == len(tokens):
                return self._context.save_state(slot.seq_id)
            n_kept = self._context.copy_prefix(slot.seq_id, self._spare.seq_id, len(tokens))
            return self._spare_state(n_kept)
        entry = next((entry for entry in self.store if self._covers(entry.tokens, tokens)), None)
        if entry is None or len(entry.tokens) == len(tokens):
            return entry.state if entry else None
        n_kept = self._restore(self._spare, entry.tokens, entry.state, len(tokens))
        return self._spare_state(n_kept)

    def _covers(self, held: Sequence[int], tokens: Sequence[int]) -> bool:
        is_whole = common_prefix(held, tokens) == len(tokens)
        return is_whole and (self.can_cut or len(held) == len(tokens))

    def _spare_state(self, n_kept: int) -> bytearray | None:
        """Return the state of the spare sequence and clear it."""
        state = self._context.save_state(self._spare.seq_id) if n_kept else None
        self._context.clear(self._spare.seq_id)
        return state

    def closest(self, lease: Lease, tokens: Sequence[int]) -> Sequence[int] | None:
        """Return the cached prompt that shares the most with this one, or the latest one.

        Args:
            lease: of a request that is about to start; its sequence counts as what it still holds.
            tokens: the request's prompt.
        """
        slots = sorted(self._pool.slots, key=lambda slot: slot.last_used)
        held = [_held(slot, lease) for slot in reversed(slots)]
        held += [entry.tokens for entry in reversed(list(self.store))]
        held = [other for other in held if other]
        on_disk = self.disk.tokens_like(tokens)
        if on_disk is not None:
            held.append(on_disk)
        return max(held, key=lambda other: common_prefix(other, tokens), default=None)

    def _clear(self, slot: Slot) -> None:
        self._context.clear(slot.seq_id)
        slot.tokens = []

    def _save(self, seq_id: int, tokens: list[int], *, is_leaving: bool = False) -> None:
        """Copy a sequence to memory, or to the disk if it is leaving and memory cannot take it."""
        if len(tokens) < MIN_USEFUL_TOKENS or self.store.has(tokens):
            return
        n_bytes = self._context.state_bytes(seq_id)
        is_wanted = self.store.wants(tokens, n_bytes)
        if not is_wanted and (not is_leaving or self.disk.covers(tokens)):
            return
        dropped = self.store.make_room(tokens, n_bytes) if is_wanted else []
        state = self._context.save_state(seq_id)
        if state is not None and is_wanted:
            self.store.put(MemoryEntry(tokens, state))
        elif state is not None:
            dropped.append(MemoryEntry(tokens, state))
        for entry in dropped:
            self.disk.offer(entry)

    def _restore(self, slot: Slot, tokens: Sequence[int], state: bytearray, n_keep: int) -> int:
        """Make a sequence hold the first `n_keep` of `tokens`, whose state it is given."""
        self._context.clear(slot.seq_id)
        while not self._context.load_state(slot.seq_id, state, len(tokens)):
            if not self.make_room():
                return 0
        return self._context.keep_prefix(slot.seq_id, n_keep)


def _held(slot: Slot, lease: Lease) -> Sequence[int]:
    """Return what a sequence holds while the lease of one is not made true yet."""
    if slot is not lease.slot:
        return slot.tokens
    return lease.displaced or ([] if lease.source else slot.tokens)
