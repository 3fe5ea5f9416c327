"""Owns how a leased sequence comes to hold the longest cached prefix of a prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from app.base.prefix import common_prefix
from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.hit_counts import Hit, miss_reason, why_not_restored
from app.engine.kv.memory_store import MIN_USEFUL_TOKENS, MemoryStore
from app.engine.kv.restoring.lookup import LookUp, Plan
from app.engine.kv.restoring.read_ahead import Reading, ReadingTurns
from app.engine.kv.restoring.state_copies import StateCopier, Unreadable
from app.engine.kv.sequences import Lease, Slot
from app.engine.kv.state_shape import StateShape
from app.engine.llama import Context
from app.engine.system.throughput import Throughput
from app.promptcache import PrefixMatch

_MAX_TRIES = 8
_READ_BYTES_PER_S = 150e6  # of flash memory on such devices; checking included
AHEAD_BYTES = 1 << 20  # less is read within a step, in some milliseconds


class Restorer:
    """Restores prefixes from the KV cache, from memory and from the disk.

    Args:
        context: whose KV cache it is.
        shape: what of a sequence's state is kept how.
        store: the memory tier.
        disk: the disk tier.
        look_up: finds what they have.
        copier: loads it.
        throughput: knows what prefill costs.
        make_room: moves an idle sequence out of the KV cache; False where there is none.
        can_cut: whether a sequence in the KV cache may lose its end.
    """

    def __init__(
        self,
        context: Context,
        shape: StateShape,
        store: MemoryStore,
        disk: DiskCacheTier,
        look_up: LookUp,
        copier: StateCopier,
        throughput: Throughput,
        make_room: Callable[[], bool],
        *,
        can_cut: bool,
    ) -> None:
        self._context = context
        self._shape = shape
        self._store = store
        self._disk = disk
        self._look_up = look_up
        self._copier = copier
        self._throughput = throughput
        self._make_room = make_room
        self._can_cut = can_cut
        self._turns = ReadingTurns()

    def restore(self, lease: Lease, tokens: Sequence[int], reading: Reading | None = None) -> Hit:
        """Make a leased sequence hold the longest cached prefix of a prompt.

        Args:
            reading: has what was read of it ahead.

        Returns:
            How many they are, never more than `tokens`, and where they were.
        """
        began_s = time.monotonic()
        n_live = self._n_shared(lease)
        known = self._look_up.anywhere(tokens)
        n_matched = max(n_live, known.n_matched, self._n_held(lease, tokens))
        plan = self._worth_it(known, tokens, n_live)
        n_tokens, tier, failure = self._restore(lease, tokens, n_live, plan, reading)
        restore_ms = round((time.monotonic() - began_s) * 1000.0, 3)
        miss = miss_reason(len(tokens), n_tokens, n_matched, self._has_entries)
        why = why_not_restored(self._shape, n_tokens, known.n_tokens, n_matched, failure)
        if n_tokens:
            return Hit(n_tokens, tier, restore_ms, n_matched, miss, why)
        return Hit(0, "none", 0.0, n_matched, miss, why)

    def read_ahead(self, tokens: Sequence[int], n_live: int) -> Reading:
        """Return what to poll until it has read what a prompt needs from the disk.

        What takes a moment only is read when the prompt is restored.

        Args:
            n_live: tokens of it that a sequence in the KV cache has.
        """
        if not self._disk.has_entries:
            return Reading(self._disk)
        plan = self._plan(tokens, n_live)
        is_worth_it = plan.n_disk_bytes >= AHEAD_BYTES
        if not is_worth_it or plan.n_tokens < n_live + MIN_USEFUL_TOKENS:
            return Reading(self._disk)
        return Reading(self._disk, plan, self._turns)

    def _has_entries(self) -> bool:
        return len(self._store) > 0 or self._disk.has_entries

    def _restore(
        self,
        lease: Lease,
        tokens: Sequence[int],
        n_live: int,
        plan: Plan,
        reading: Reading | None,
    ) -> tuple[int, str, str]:
        """Restore what is planned, where that is more than the KV cache has.

        Returns:
            How many tokens the sequence holds then, the tier they came from, and why they are
            fewer than was planned: `corrupt`, `no_room` or empty.
        """
        skip: set[str] = set()
        failure = ""
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
                if self._load(lease.slot, plan, reading):
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

    def _plan(self, tokens: Sequence[int], n_live: int, skip: Collection[str] = ()) -> Plan:
        return self._worth_it(self._look_up.anywhere(tokens, skip), tokens, n_live)

    def _worth_it(self, best: Plan, tokens: Sequence[int], n_live: int) -> Plan:
        """Return the best plan, or memory's where the disk is not worth reading from."""
        if best.tier == "memory":
            return best
        in_memory = self._look_up.in_memory(tokens)
        n_known = max(n_live, in_memory.n_tokens)
        saved_s = (best.n_tokens - n_known) / self._throughput.prefill_tokens_per_s
        is_worth_it = best.n_disk_bytes / _READ_BYTES_PER_S < saved_s
        is_longer = best.n_tokens >= n_known + MIN_USEFUL_TOKENS
        return best if is_worth_it and is_longer else in_memory

    def _load(self, slot: Slot, plan: Plan, reading: Reading | None) -> bool:
        if plan.n_tokens > self._context.n_ctx:
            return False
        while not self._copier.load(slot.seq_id, plan, reading):
            if not self._make_room():
                return False
        self._store.mark_used(plan.links, plan.state)
        self._disk.mark_used(plan.links)
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
        if not self._can_cut and len(held) > lease.n_keep:
            return 0
        return min(lease.n_keep, len((lease.source or lease.slot).tokens))
