"""Owns what is kept of sequences: copies them to memory, and hands them to the disk tier."""

from __future__ import annotations

from collections.abc import Sequence

from app.base.prefix import common_prefix
from app.engine.kv.conversation_ends import ConversationEnds
from app.engine.kv.disk_tier import DiskCacheTier, Save
from app.engine.kv.memory_store import (
    MIN_USEFUL_TOKENS,
    MemoryBlock,
    MemoryState,
    MemoryStore,
)
from app.engine.kv.restoring.lookup import LookUp, Plan
from app.engine.kv.restoring.state_copies import StateCopier
from app.engine.kv.sequences import SequencePool, Slot
from app.engine.kv.state_shape import StateShape
from app.promptcache import PAGE_TOKENS, Role, Snapshot, pack, unpack


class Keeper:
    """Copies what only the KV cache has to memory, and what only memory has to the disk.

    Args:
        pool: which tokens the sequences hold.
        store: the memory tier.
        disk: the disk tier.
        look_up: knows what can be restored.
        copier: takes the snapshots.
        shape: what of a sequence's state is kept how.
        can_cut: whether a sequence in the KV cache may lose its end.

    Attributes:
        ends: the conversations that memory holds, for the disk.
    """

    def __init__(
        self,
        pool: SequencePool,
        store: MemoryStore,
        disk: DiskCacheTier,
        look_up: LookUp,
        copier: StateCopier,
        shape: StateShape,
        *,
        can_cut: bool,
    ) -> None:
        self._pool = pool
        self._store = store
        self._disk = disk
        self._look_up = look_up
        self._copier = copier
        self._shape = shape
        self._can_cut = can_cut
        self.ends = ConversationEnds()

    # ------------------------------------------------------------ in memory

    def is_saved(self, slot: Slot) -> bool:
        """Whether memory has all of a sequence that is of use later."""
        return self._is_kept(slot.tokens, with_state=self._keeps_end(slot, slot.tokens))

    def is_restorable(self, tokens: Sequence[int]) -> bool:
        """Whether memory can restore all of some tokens."""
        return self._is_kept(tokens, with_state=True)

    def _is_kept(self, tokens: Sequence[int], *, with_state: bool) -> bool:
        plan = self._look_up.in_memory(tokens)
        return (plan.n_tokens if with_state else plan.n_matched) == len(tokens)

    def _keeps_end(self, slot: Slot, tokens: Sequence[int]) -> bool:
        """Whether later prompts can begin with all tokens of a sequence."""
        return slot.n_kept is None or slot.n_kept >= len(tokens) or self._shape.is_whole

    def save(
        self, slot: Slot, tokens: list[int], *, is_leaving: bool = False, is_end: bool = True
    ) -> None:
        """Copy a sequence to memory, or to the disk if it is leaving and memory cannot take it.

        Args:
            tokens: what the sequence holds.
            is_end: whether it is a conversation's end rather than the middle of a prompt.
        """
        if len(tokens) < MIN_USEFUL_TOKENS:
            return
        keeps_end = self._keeps_end(slot, tokens)
        is_kept = self._is_kept(tokens, with_state=keeps_end)
        is_kept = is_kept or self._copy_to_memory(slot, tokens, keeps_end=keeps_end, is_end=is_end)
        if is_end and self._disk.is_on:
            self._note_end(slot, tokens)
        lasting = [] if is_kept or not is_leaving else self.lasting(slot, tokens)
        if lasting and self._disk.is_on:
            end = len(lasting)
            start = self._first_missing(self._look_up.on_disk(lasting), end)
            snapshot = self._copier.take(slot.seq_id, len(tokens), start, end, with_state=True)
            if snapshot is not None:
                self._disk.save(lasting, snapshot, _role(end == slot.n_head))

    def lasting(self, slot: Slot, tokens: list[int]) -> list[int]:
        """Return the tokens of a sequence that later prompts can begin with; [] for no state."""
        if self._keeps_end(slot, tokens):
            return list(tokens)
        return tokens[: slot.n_kept] if self._can_cut else []

    def _note_end(self, slot: Slot, tokens: list[int]) -> None:
        """Note what the disk is to have of a conversation: up to a state, where it takes one."""
        end = tokens[: slot.n_kept]
        if self._shape.needs_state and len(end) < len(tokens):
            n_tokens = self._look_up.in_memory(end).n_tokens
            end = end[:n_tokens] if n_tokens > slot.n_head else end
        if len(end) >= PAGE_TOKENS:  # the disk takes nothing shorter
            self.ends.add(end)

    def _copy_to_memory(
        self, slot: Slot, tokens: list[int], *, keeps_end: bool, is_end: bool
    ) -> bool:
        """Copy what memory lacks of a sequence; say whether there was room."""
        start = self._first_missing(self._look_up.in_memory(tokens), len(tokens))
        n_rows = len(tokens) - start
        n_bytes = self._copier.n_bytes(slot.seq_id, n_rows, with_state=keeps_end)
        if n_bytes > self._store.capacity_bytes:
            return False
        snapshot = self._take(slot, tokens, start, with_state=keeps_end)
        if snapshot is None:
            return False
        kept = self._store.chain(tokens[:start])
        victims = self._store.victims(self._store.cost(snapshot), kept)
        if victims is None:
            return False
        self._offer_evicted(victims, tokens if keeps_end and is_end else [])
        self._store.drop(victims)
        self._store.put(pack(tokens), snapshot, slot.n_head)
        return True

    def _take(
        self, slot: Slot, tokens: list[int], start: int, *, with_state: bool
    ) -> Snapshot | None:
        n_tokens = len(tokens)
        return self._copier.take(slot.seq_id, n_tokens, start, n_tokens, with_state=with_state)

    def _first_missing(self, plan: Plan, n_tokens: int) -> int:
        """Return the first position, at the beginning of a page, whose rows are to be copied.

        Rows that are kept are copied again where the window reaches and window rows are missing.

        Args:
            plan: of all `n_tokens` tokens.
        """
        if self._shape.is_whole:
            return n_tokens
        n_known, n_window = plan.n_matched, self._shape.n_window
        if n_window and plan.n_window < n_known:
            n_known = min(n_known, max(0, n_tokens - n_window))
        elif n_known == n_tokens:
            return n_tokens  # a state is all that is missing
        return n_known // PAGE_TOKENS * PAGE_TOKENS

    # ------------------------------------------------------------ to the disk

    def _offer_evicted(
        self, evicted: Sequence[MemoryBlock | MemoryState], saved: list[int]
    ) -> None:
        """Have written what is about to leave memory, unless the disk has it.

        Args:
            saved: tokens whose state takes its place; [] for none.
        """
        offered: list[bytes] = []
        for each in sorted(evicted, key=lambda each: -each.end) if self._disk.is_on else ():
            tokens = unpack(each.packed)
            goes_on = not each.is_head and self._goes_on(tokens, saved)
            if isinstance(each, MemoryBlock):
                tokens = tokens if goes_on else self._restorable(each, tokens)
            elif goes_on:
                tokens = []  # the disk has, or gets, a newer state of the conversation
            packed = pack(tokens)
            is_covered = any(longer.startswith(packed) for longer in offered)
            if tokens and not (is_covered and self._can_be_covered(each)):
                save = self.write(tokens, _role(each.is_head), with_state=not goes_on)
                if save is not None and save.job is not None:
                    offered.append(packed)

    def _can_be_covered(self, each: MemoryBlock | MemoryState) -> bool:
        """Whether what is written of longer prompts stands for it, too."""
        if isinstance(each, MemoryState):
            return not each.is_head and not self._shape.is_whole
        return each.window_start >= each.end

    def _goes_on(self, tokens: list[int], saved: list[int]) -> bool:
        """Whether a conversation is known that begins with these tokens and has a newer state."""
        if not self._shape.needs_state:
            return False
        is_begun = len(saved) > len(tokens) and saved[: len(tokens)] == tokens
        return is_begun or self.ends.go_on_from(tokens)

    def _restorable(self, block: MemoryBlock, tokens: list[int]) -> list[int]:
        """Return the part of a block's tokens that prompts can go on after.

        Without a state, or window rows, after the last of them it is less; [] where this block is
        of no use to it. All of them where memory can restore nothing of it.
        """
        n_tokens = self._look_up.in_memory(tokens).n_tokens or len(tokens)
        return tokens[:n_tokens] if n_tokens > block.start else []

    def is_on_disk(self, tokens: Sequence[int], *, with_state: bool = True) -> bool:
        """Whether the disk can restore all of some tokens; so without a disk, too.

        Args:
            with_state: whether a state after them is needed; else their rows are all.
        """
        if not self._disk.is_on:
            return True
        plan = self._look_up.on_disk(tokens)
        return (plan.n_tokens if with_state else plan.n_matched) == len(tokens)

    def write(
        self, tokens: Sequence[int], role: Role, profile: str = "", *, with_state: bool = True
    ) -> Save | None:
        """Have tokens written that memory or a sequence holds.

        Args:
            with_state: whether a state after them is needed; else their rows are all.

        Returns:
            The write to follow; None where there is no disk.
        """
        if not self._disk.is_on:
            return None
        if not profile and self.is_on_disk(tokens, with_state=with_state):
            return self._disk.save(tokens, None, role, profile)
        snapshot = self.snapshot(tokens) if with_state else self._rows(tokens)
        return self._disk.save(tokens, snapshot, role, profile, with_state=with_state)

    def _rows(self, tokens: Sequence[int]) -> Snapshot | None:
        """Return the rows that the disk lacks of tokens, where memory has them all."""
        links = tuple(self._store.chain(tokens))
        plan = Plan(links[-1].end if links else 0, links)
        if plan.n_tokens < len(tokens):
            return None
        start = self._first_missing(self._look_up.on_disk(tokens), len(tokens))
        return self._copier.gather(plan, start)

    def snapshot(self, tokens: Sequence[int]) -> Snapshot | None:
        """Return what the disk lacks of exactly these tokens.

        None where neither memory nor a sequence has all of it.
        """
        start = self._first_missing(self._look_up.on_disk(tokens), len(tokens))
        plan = self._look_up.in_memory(tokens)
        if plan.n_tokens == len(tokens):
            return self._copier.gather(plan, start)
        slot = next((slot for slot in self._pool.slots if self._covers(slot.tokens, tokens)), None)
        if slot is None:
            return None
        return self._copier.take(slot.seq_id, len(slot.tokens), start, len(tokens), with_state=True)

    def _covers(self, held: Sequence[int], tokens: Sequence[int]) -> bool:
        is_whole = common_prefix(held, list(tokens)) == len(tokens)
        return is_whole and (self._can_cut or len(held) == len(tokens))

    def forget(self) -> None:
        """Forget which conversations wait to be written."""
        self.ends.clear()


def _role(is_head: bool) -> Role:
    return "boundary" if is_head else "turn"
