"""Owns what is in the KV cache: restores cached prefixes, moves idle sequences out.

The KV cache holds what running requests need. Idle sequences are copied to memory while the
engine has nothing to do, and leave the KV cache when the next request starts; a later prompt
brings them back, or blocks on disk where those have more of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.base.prefix import common_prefix
from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.hit_counts import Hit, HitCounter, miss_reason, why_not_restored
from app.engine.kv.keeper import Keeper
from app.engine.kv.lookup import LookUp, Plan
from app.engine.kv.memory_store import MIN_USEFUL_TOKENS, MemoryStore
from app.engine.kv.sequences import Lease, SequencePool, Slot
from app.engine.kv.state_copies import StateCopier, Unreadable
from app.engine.kv.state_shape import StateShape
from app.engine.llama import Context
from app.engine.system.throughput import Throughput
from app.promptcache import PrefixMatch, unpack

_MAX_TRIES = 8
_PROGRESS_S = 8.0
_MIN_PROGRESS_TOKENS = 512
_READ_BYTES_PER_S = 150e6  # of flash memory on such devices; checking included


class KvCache:
    """The sequences of one context, and what memory and disk keep of others.

    Args:
        context: whose KV cache it is; it has one sequence more than the pool, to copy with.
        pool: which tokens its sequences hold.
        store: where idle sequences go.
        disk: where prompts outlive the process.
        throughput: knows what prefill costs.
        shape: what of a sequence's state is kept how.
        can_cut: whether a sequence in the KV cache may lose its end (not so in recurrent models).
    """

    def __init__(
        self,
        context: Context,
        pool: SequencePool,
        store: MemoryStore,
        disk: DiskCacheTier,
        throughput: Throughput,
        *,
        shape: StateShape,
        can_cut: bool = True,
    ) -> None:
        self._context = context
        self._pool = pool
        self._throughput = throughput
        self.shape = shape
        self.can_cut = can_cut
        self.store = store
        self.disk = disk
        self.hits = HitCounter()
        self._look_up = LookUp(shape, store, disk)
        self._copier = StateCopier(context, shape, len(pool.slots), store, disk)
        self.keeper = Keeper(pool, store, disk, self._look_up, self._copier, shape, can_cut=can_cut)

    @property
    def kv_tokens(self) -> int:
        """Tokens in the KV cache; shared prefixes count once per sequence."""
        return self._pool.n_tokens

    def n_progress(self) -> int:
        """Return after how many tokens of a long prefill it is saved and written.

        These take some seconds, and their rows weigh no less than the state that goes with them.
        Whole states are written anew each time, so these are few.
        """
        if self.shape.is_whole:
            return max(_MIN_PROGRESS_TOKENS, self._context.n_ctx // 4)
        per_s = self._throughput.prefill_tokens_per_s
        n_state = self.shape.state_bytes // max(1, self.shape.token_bytes)
        return max(_MIN_PROGRESS_TOKENS, int(_PROGRESS_S * per_s), n_state)

    # ------------------------------------------------------------ look-up

    def n_in_memory(self, tokens: Sequence[int]) -> int:
        """Return how many leading tokens of a prompt memory can restore."""
        return self._look_up.in_memory(tokens).n_tokens

    def restore_prefix(self, lease: Lease, tokens: Sequence[int]) -> Hit:
        """Make a leased sequence hold the longest cached prefix of a prompt.

        Returns:
            How many they are, never more than `tokens`, and where they were.
        """
        lease = self._prepare(lease)
        began_s = time.monotonic()
        n_live = self._n_shared(lease)
        known = self._look_up.anywhere(tokens)
        n_matched = max(n_live, known.n_matched, self._n_held(lease, tokens))
        n_tokens, tier, failure = self._restore(lease, tokens, n_live)
        restore_ms = round((time.monotonic() - began_s) * 1000.0, 3)
        miss = miss_reason(len(tokens), n_tokens, n_matched, self._has_entries)
        why = why_not_restored(self.shape, n_tokens, known.n_tokens, n_matched, failure)
        if n_tokens:
            return Hit(n_tokens, tier, restore_ms, n_matched, miss, why)
        return Hit(0, "none", 0.0, n_matched, miss, why)

    def _has_entries(self) -> bool:
        return len(self.store) > 0 or self.disk.has_entries

    def _prepare(self, lease: Lease) -> Lease:
        """Save what the lease displaces and compact the cells; return the lease as it is then."""
        slot, promised = lease.slot, lease.slot.tokens
        is_true = lease.source is None and (self.can_cut or not lease.displaced)
        slot.tokens = promised if is_true else lease.displaced  # what it really holds
        self.keeper.save(slot, lease.displaced, is_leaving=True)
        slot.tokens = promised if is_true else []
        slot.n_kept, slot.n_head = None, 0
        if self._pool.has_other_busy(slot):
            self._pool.mark_shared()
            return lease
        lease = self._compact(lease)
        slot.is_clean = not self._pool.idle()
        return lease

    def _restore(self, lease: Lease, tokens: Sequence[int], n_live: int) -> tuple[int, str, str]:
        """Restore what memory and disk have, where that is more than the KV cache has.

        Returns:
            How many tokens the sequence holds then, the tier they came from, and why they are
            fewer than was planned: `corrupt`, `no_room` or empty.
        """
        skip: set[str] = set()
        failure = ""
        plan = self._plan(tokens, n_live, skip)
        if plan.n_tokens < n_live + MIN_USEFUL_TOKENS and n_live:
            n_kept = self._keep_live(lease, n_live)
            if n_kept:
                return n_kept, "memory", failure
            n_live = self._lose_live(lease)
            plan = self._plan(tokens, n_live, skip)
        for _ in range(_MAX_TRIES):
            if plan.n_tokens < n_live + MIN_USEFUL_TOKENS:
                break
            if lease.source is None:
                n_live = self._lose_live(lease)  # in either case what it held is gone
            try:
                if self._load(lease.slot, plan):
                    return plan.n_tokens, plan.tier, failure
                failure = "no_room"
                n_live = self._n_shared(lease)  # making room may have moved out what held it
                break
            except Unreadable:
                failure = "corrupt"
                if isinstance(plan.state, PrefixMatch):
                    skip.add(plan.state.entry_id)
                if lease.source is not None:
                    n_live = self._n_shared(lease)
                plan = self._plan(tokens, n_live, skip)
        return self._keep_live(lease, n_live), "memory", failure

    def _lose_live(self, lease: Lease) -> int:
        """Note that the leased sequence holds nothing any more; return how much that is."""
        lease.slot.tokens = []
        return 0

    def _plan(self, tokens: Sequence[int], n_live: int, skip: set[str]) -> Plan:
        """Return what to restore, where the disk is worth reading from it too."""
        best = self._look_up.anywhere(tokens, skip)
        if best.tier == "memory":
            return best
        in_memory = self._look_up.in_memory(tokens)
        n_known = max(n_live, in_memory.n_tokens)
        saved_s = (best.n_tokens - n_known) / self._throughput.prefill_tokens_per_s
        is_worth_it = best.n_disk_bytes / _READ_BYTES_PER_S < saved_s
        is_longer = best.n_tokens >= n_known + MIN_USEFUL_TOKENS
        return best if is_worth_it and is_longer else in_memory

    def _load(self, slot: Slot, plan: Plan) -> bool:
        if plan.n_tokens > self._context.n_ctx:
            return False
        while not self._copier.load(slot.seq_id, plan):
            if not self.make_room():
                return False
        self.store.mark_used(plan.links, plan.state)
        self.disk.mark_used(plan.links)
        return True

    def _keep_live(self, lease: Lease, n_keep: int) -> int:
        """Let the leased sequence go on from what the KV cache holds; return how much that is."""
        if lease.source is None:
            return self._context.keep_prefix(lease.slot.seq_id, n_keep)
        return self._context.copy_prefix(lease.source.seq_id, lease.slot.seq_id, n_keep)

    def _n_held(self, lease: Lease, tokens: Sequence[int]) -> int:
        """Return how many tokens a prompt shares with the sequence that is leased to it."""
        held: Sequence[int] = lease.displaced or lease.slot.tokens
        if lease.source is not None:
            held = lease.source.tokens
        return common_prefix(list(held), list(tokens))

    def _n_shared(self, lease: Lease) -> int:
        """Return the tokens a lease promises that are still in the KV cache.

        What held them may have moved out since. Memory that cannot be cut gives all or nothing.
        """
        held = lease.displaced if lease.source is None else lease.source.tokens
        if not self.can_cut and len(held) > lease.n_keep:
            return 0
        return min(lease.n_keep, len((lease.source or lease.slot).tokens))

    # ------------------------------------------------------------ moving sequences out

    def _compact(self, lease: Lease) -> Lease:
        """Empty the KV cache for a request that runs alone, as far as all is copied.

        Attention adds up in the order of the cells, and the sum's last bits depend on it. A
        request that always finds its cells in the same places answers the same every time.
        """
        for idle in self._pool.idle():
            self.keeper.save(idle, idle.tokens)
        lease, slot = self._take_over(lease), lease.slot
        self.drop_saved()
        if lease.source is None and slot.tokens and not slot.is_clean:
            self.keeper.save(slot, slot.tokens)
            if self.keeper.is_restorable(slot.tokens):
                self._clear(slot)
        return lease

    def _take_over(self, lease: Lease) -> Lease:
        """Let a lone request go on in the cells of a clean sequence whose rest is in memory.

        Its cells are then where a copy brought back from memory would put them.
        """
        source, slot = lease.source, lease.slot
        if source is None or not source.is_clean or not self.keeper.is_saved(source):
            return lease
        if self._context.copy_prefix(source.seq_id, slot.seq_id, lease.n_keep) < lease.n_keep:
            return lease
        slot.tokens = source.tokens[: lease.n_keep]
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
        self.keeper.save(slot, slot.tokens)
        return True

    def save_now(self, slot: Slot, *, to_disk: bool) -> None:
        """Copy a sequence to memory as it is, in the middle of a prompt.

        Args:
            to_disk: whether it is to be written too, for the prompt is long.
        """
        tokens = list(slot.tokens)
        is_head = len(tokens) == slot.n_head
        self.keeper.save(slot, tokens, is_end=False, is_leaving=is_head)
        if to_disk:
            self.keeper.write(tokens, "boundary" if is_head else "turn")

    def drop_saved(self) -> None:
        """Take the idle sequences out of the KV cache that have been copied to memory."""
        for slot in self._pool.idle():
            if self.keeper.is_saved(slot):
                self._clear(slot)

    def make_room(self) -> bool:
        """Move the idle sequence that was used the longest ago to memory.

        Returns:
            False where there is none.
        """
        idle = self._pool.oldest_idle()
        if idle is None:
            return False
        self.keeper.save(idle, idle.tokens, is_leaving=True)
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
        self.keeper.forget()
        on_disk = self.disk.clear()
        return n_entries + on_disk[0], n_bytes + on_disk[1]

    def _clear(self, slot: Slot) -> None:
        self._context.clear(slot.seq_id)
        slot.tokens = []

    # ------------------------------------------------------------ what is to be written

    def unsaved(self, idle_before_s: float | None = None) -> list[list[int]]:
        """Return the tokens of the sequences that only the KV cache has, running ones too.

        Args:
            idle_before_s: leave out those that are not idle since then.
        """
        return [
            tokens
            for slot in self._pool.slots
            if slot.tokens and not self.keeper.is_saved(slot)
            if (tokens := self.keeper.lasting(slot, slot.tokens))
            if idle_before_s is None or (not slot.busy and slot.idle_since_s <= idle_before_s)
        ]

    def closest(self, lease: Lease, tokens: Sequence[int]) -> Sequence[int] | None:
        """Return the cached prompt that shares the most with this one, or the latest one.

        Args:
            lease: of a request that is about to start; its sequence counts as what it still holds.
            tokens: the request's prompt.
        """
        slots = sorted(self._pool.slots, key=lambda slot: slot.last_used)
        held = [_held(slot, lease) for slot in reversed(slots)]
        held += [unpack(packed) for packed in self.store.like(tokens)]
        held = [other for other in held if other]
        on_disk = self.disk.tokens_like(tokens)
        if on_disk is not None:
            held.append(on_disk)
        return max(held, key=lambda other: common_prefix(other, tokens), default=None)


def _held(slot: Slot, lease: Lease) -> Sequence[int]:
    """Return what a sequence holds while the lease of one is not made true yet."""
    if slot is not lease.slot:
        return slot.tokens
    return lease.displaced or ([] if lease.source else slot.tokens)
