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
_MAX_LOOK_UPS = 64
_READ_BYTES_PER_S = 150e6  # of flash memory on such devices; checking included


class KvCache:
    """The sequences of one context, the idle ones in memory and the entries on disk.

    Args:
        context: whose KV cache it is; it has one sequence more than the pool, to copy with.
        pool: which tokens its sequences hold.
        store: where idle sequences go.
        disk: where prompts outlive the process.
        throughput: knows what prefill costs.
        can_cut: whether a sequence in the KV cache may lose its end (not so in recurrent models).
            Those of a model with a sliding window may as far as their window is there, and
            `store.can_cut` is false: a saved state has the last window only.
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
            n_tokens, tier = self._restore_from_memory(lease, tokens, n_shared), "memory"
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
        n_read = 0
        while n_memory < len(tokens) and n_read < _MAX_TRIES and len(skip) < _MAX_LOOK_UPS:
            found = self.disk.find(tokens, skip)
            if found is None or found.n_shared < n_memory + MIN_USEFUL_TOKENS:
                break
            skip.add(found.entry_id)
            if found.n_tokens > self._context.n_ctx or not self._is_worth_reading(found, n_memory):
                continue
            n_read += 1
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

    def _restore_from_memory(self, lease: Lease, tokens: Sequence[int], n_shared: int) -> int:
        tried: list[MemoryEntry] = []
        while len(tried) < _MAX_TRIES:
            known = self.store.best(tokens, skip=tried)
            if known is None or known[1] < n_shared + MIN_USEFUL_TOKENS:
                break
            entry, n_known = known
            tried.append(entry)
            if lease.source is None:
                lease.slot.tokens = []  # in either case what it held is gone
            n_tokens = self._restore(lease.slot, entry.tokens, entry.state, n_known)
            if n_tokens:
                return n_tokens
            if n_known == len(entry.tokens) and not self._pool.has_other_busy(lease.slot):
                self.store.drop(entry)  # neither room nor a cut is what it lacks
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

        What held them may have moved out since. Memory that cannot be cut gives all or nothing,
        and so does a sliding window that has left the place: the spare sequence shows that.
        """
        held = lease.displaced if lease.source is None else lease.source.tokens
        holder = lease.source or lease.slot
        n_keep = min(lease.n_keep, len(holder.tokens))
        if len(held) <= lease.n_keep or (self.can_cut and self.store.can_cut):
            return n_keep
        if not self.can_cut:
            return 0
        n_kept = self._context.copy_prefix(holder.seq_id, self._spare.seq_id, n_keep)
        self._context.clear(self._spare.seq_id)
        return n_kept

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

        Its cells are then where a copy brought back from memory would put them. Where a copy
        could not be cut, any cells will do.
        """
        source, slot = lease.source, lease.slot
        if source is None or not self.store.has(source.tokens):
            return lease
        if not source.is_clean and (self.store.can_cut or not self.can_cut):
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
        """Copy a sequence as it is, in the middle of a prompt: to memory, or else to the disk."""
        self._save(slot.seq_id, list(slot.tokens), is_leaving=True)

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
        """Return the state of exactly these tokens.

        Returns:
            None where no sequence begins with them, or none that does can be cut there.
        """
        for slot in self._pool.slots:
            if common_prefix(slot.tokens, tokens) == len(tokens):
                state = self._state_of(slot, len(tokens))
                if state is not None:
                    return state
        entry = self.store.covering(tokens)
        if entry is None or len(entry.tokens) == len(tokens):
            return entry.state if entry else None
        n_kept = self._restore(self._spare, entry.tokens, entry.state, len(tokens))
        return self._spare_state(n_kept)

    def _state_of(self, slot: Slot, n_tokens: int) -> bytearray | None:
        """Return the state of a sequence's beginning, None where it cannot be cut there."""
        if len(slot.tokens) == n_tokens:
            return self._context.save_state(slot.seq_id)
        if not self.can_cut:
            return None
        n_kept = self._context.copy_prefix(slot.seq_id, self._spare.seq_id, n_tokens)
        return self._spare_state(n_kept)

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
        held = self._pool.contents(lease)
        held += [entry.tokens for entry in reversed(list(self.store))]
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
