"""Owns what is in the KV cache: moves idle sequences out, and has prefixes restored.

The KV cache holds what running requests need. Idle sequences are copied to memory while the
engine has nothing to do, and leave the KV cache when the next request starts; a later prompt
brings them back, or blocks on disk where those have more of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.base.prefix import common_prefix
from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.hit_counts import Hit, HitCounter
from app.engine.kv.keeper import Keeper
from app.engine.kv.memory_store import MemoryStore
from app.engine.kv.restoring.lookup import LookUp
from app.engine.kv.restoring.read_ahead import Reading
from app.engine.kv.restoring.restorer import Restorer
from app.engine.kv.restoring.state_copies import StateCopier
from app.engine.kv.sequences import Lease, SequencePool, Slot
from app.engine.kv.state_shape import StateShape
from app.engine.llama import Context
from app.engine.system.throughput import Throughput
from app.promptcache import unpack

_PROGRESS_S = 8.0
_MIN_PROGRESS_TOKENS = 512


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
        copier = StateCopier(context, shape, len(pool.slots), store, disk)
        self.keeper = Keeper(pool, store, disk, self._look_up, copier, shape, can_cut=can_cut)
        self._restorer = Restorer(
            context,
            shape,
            store,
            disk,
            self._look_up,
            copier,
            throughput,
            self.make_room,
            can_cut=can_cut,
        )

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

    def read_ahead(self, tokens: Sequence[int], n_live: int) -> Reading:
        """Return what reads what a prompt needs from the disk; see `Restorer.read_ahead`."""
        return self._restorer.read_ahead(tokens, n_live)

    def restore_prefix(
        self, lease: Lease, tokens: Sequence[int], reading: Reading | None = None
    ) -> Hit:
        """Make a leased sequence hold the longest cached prefix of a prompt.

        Args:
            reading: has what was read of it ahead.

        Returns:
            How many they are, never more than `tokens`, and where they were.
        """
        return self._restorer.restore(self._prepare(lease), tokens, reading)

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
