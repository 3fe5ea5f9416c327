"""Owns what is in the KV cache: brings a prompt's known prefix in, moves idle sequences out.

The KV cache holds what running requests need. Idle sequences are copied to memory while the
engine has nothing to do, and leave the KV cache when the next request starts; a later prompt
brings them back.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.engine.idle_store import MIN_USEFUL_TOKENS, IdleEntry, IdleStore
from app.engine.llama import Context
from app.engine.sequences import Lease, SequencePool, Slot


class Residency:
    """The sequences of one context and the idle ones in memory.

    Args:
        context: whose KV cache it is.
        pool: which tokens its sequences hold.
        store: where idle sequences go.
    """

    def __init__(self, context: Context, pool: SequencePool, store: IdleStore) -> None:
        self._context = context
        self._pool = pool
        self._store = store

    @property
    def kv_tokens(self) -> int:
        """Tokens in the KV cache; shared prefixes count once per sequence."""
        return self._pool.n_tokens

    @property
    def idle_bytes(self) -> int:
        """Memory that the idle sequences outside the KV cache take."""
        return self._store.n_bytes

    def bring(self, lease: Lease, tokens: Sequence[int]) -> int:
        """Make a leased sequence hold as many leading tokens of a prompt as are known.

        Returns:
            How many they are; never more than `tokens`.
        """
        slot = lease.slot
        self._save(slot.seq_id, lease.displaced)
        if self._pool.has_busy_besides(slot):
            self._pool.note_company()
        else:
            self._tidy(lease)
            slot.is_clean = not self._pool.idle()
        known = self._store.best(tokens)
        if known is not None and known[1] >= _n_shared(lease) + MIN_USEFUL_TOKENS:
            n_restored = self._restore(lease.slot, *known)
            if n_restored or lease.source is None:
                return n_restored
        n_keep = _n_shared(lease)
        if lease.source is None:
            return self._context.keep_prefix(lease.slot.seq_id, n_keep)
        return self._context.copy_prefix(lease.source.seq_id, lease.slot.seq_id, n_keep)

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
            if self._store.has(slot.tokens):
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

    def drop_saved(self) -> None:
        """Take the idle sequences out of the KV cache that have been copied to memory."""
        for slot in self._pool.idle():
            if self._store.has(slot.tokens):
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

    def _clear(self, slot: Slot) -> None:
        self._context.clear(slot.seq_id)
        slot.tokens = []

    def _save(self, seq_id: int, tokens: list[int]) -> None:
        if len(tokens) < MIN_USEFUL_TOKENS:
            return
        n_bytes = self._context.state_bytes(seq_id)
        if not self._store.wants(tokens, n_bytes):
            return
        self._store.make_room(tokens, n_bytes)
        state = self._context.save_state(seq_id)
        if state is not None:
            self._store.put(IdleEntry(tokens, state))

    def _restore(self, slot: Slot, entry: IdleEntry, n_keep: int) -> int:
        self._context.clear(slot.seq_id)
        while not self._context.load_state(slot.seq_id, entry.state):
            if not self.make_room():
                if not self._pool.has_busy_besides(slot):  # room is not what it lacks
                    self._store.drop(entry)
                return 0
        return self._context.keep_prefix(slot.seq_id, n_keep)


def _n_shared(lease: Lease) -> int:
    """Return the tokens a lease promises that are still in the KV cache.

    What held them may have moved out since.
    """
    return min(lease.n_keep, len((lease.source or lease.slot).tokens))
