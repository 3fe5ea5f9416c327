"""Owns which part of a prompt can be restored, and from what; decides, and moves no bytes.

A prompt can go on after m of its tokens where blocks hold the rows of all m, window rows those of
the last ones that a window reaches, and, with recurrent layers, a state was saved after exactly m.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from app.engine.kv.disk_tier import DISK, MEMORY, DiskCacheTier
from app.engine.kv.memory_store import MemoryState, MemoryStore
from app.engine.kv.state_shape import StateShape
from app.promptcache import Link, PrefixMatch, pack

_MAX_STATES = 16
_MAX_ENDS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What a prompt is restored from.

    Args:
        n_tokens: how many of its tokens that gives; 0 for none.
        links: the blocks that hold them, in their order.
        state: what layers without rows hold after them.
        n_matched: how many leading tokens blocks hold, whether or not it can go on there.
        n_window: how many of these it could go on after, as far as window rows are concerned.
        window_from: position of the first row that the window reaches back to.
        n_disk_bytes: what is to be read from the disk.
    """

    n_tokens: int
    links: tuple[Link, ...] = ()
    state: MemoryState | PrefixMatch | None = None
    n_matched: int = 0
    n_window: int = 0
    window_from: int = 0
    n_disk_bytes: int = 0

    @property
    def tier(self) -> str:
        """The slowest tier that it needs: `memory` or `disk`."""
        on_disk = isinstance(self.state, PrefixMatch) or any(x.tier == DISK for x in self.links)
        return "disk" if on_disk else "memory"

    def needs_window(self, link: Link) -> bool:
        """Whether window rows of one of its blocks are needed."""
        return link.end > self.window_from


_State = tuple[int, MemoryState | PrefixMatch]


class LookUp:
    """Finds what memory and disk have of a prompt.

    Args:
        shape: what of the model's state is kept how.
        store: the memory tier.
        disk: the disk tier.
    """

    def __init__(self, shape: StateShape, store: MemoryStore, disk: DiskCacheTier) -> None:
        self._shape = shape
        self._store = store
        self._disk = disk

    def in_memory(self, tokens: Sequence[int]) -> Plan:
        """Return the longest prefix that memory can restore."""
        return self._longest(
            tokens, self._store.chain, self._store.ends(pack(tokens)), self._memory_states(tokens)
        )

    def anywhere(self, tokens: Sequence[int], skip: Collection[str] = ()) -> Plan:
        """Return the longest prefix that memory and disk together can restore.

        Args:
            skip: ids of states on the disk that are of no use.
        """
        if not self._disk.is_on:
            return self.in_memory(tokens)
        on_disk = [each for each in self._disk_states(tokens) if each[1].entry_id not in skip]
        states: list[_State] = [*self._memory_states(tokens), *on_disk]
        ends = [*self._store.ends(pack(tokens)), *self._disk.ends(tokens)]
        return self._longest(
            tokens,
            lambda tokens: self._disk.chain(tokens, self._store.index),
            sorted(set(ends), reverse=True),
            sorted(states, key=lambda each: -each[0]),
        )

    def on_disk(self, tokens: Sequence[int]) -> Plan:
        """Return the longest prefix that the disk alone can restore."""
        return self._longest(
            tokens,
            lambda tokens: self._disk.chain(tokens, None),
            self._disk.ends(tokens),
            self._disk_states(tokens),
        )

    def _memory_states(self, tokens: Sequence[int]) -> list[tuple[int, MemoryState]]:
        if not self._shape.needs_state:
            return []
        return [(state.end, state) for state in self._store.states_of(pack(tokens))]

    def _disk_states(self, tokens: Sequence[int]) -> list[tuple[int, PrefixMatch]]:
        if not self._shape.needs_state:
            return []
        return [(match.n_tokens, match) for match in self._disk.states(tokens)]

    def _longest(
        self,
        tokens: Sequence[int],
        chain: Callable[[Sequence[int]], list[Link]],
        ends: Sequence[int],
        states: Sequence[_State],
    ) -> Plan:
        """Return the longest prefix that a tier, or several, can restore.

        Args:
            chain: returns the blocks that hold a prompt from its start on.
            ends: where blocks with window rows end. Where window rows are missing in the middle of
                one, they can be there, in another block of the same tokens.
            states: what there is after prefixes of the prompt; the longest first.
        """
        if self._shape.is_whole:
            return self._of_chain([], states)
        plan = self._of_chain(chain(tokens), states)
        for end in ends[:_MAX_ENDS] if plan.n_tokens < plan.n_matched else ():
            if end <= plan.n_tokens:
                break
            shorter = [state for state in states if state[0] <= end]
            other = self._of_chain(chain(tokens[:end]), shorter)
            if other.n_tokens > plan.n_tokens:
                plan = replace(other, n_matched=plan.n_matched, n_window=plan.n_window)
        return plan

    def _of_chain(self, links: Sequence[Link], states: Sequence[_State]) -> Plan:
        n_matched = links[-1].end if links else 0
        gaps = self._window_gaps(links)
        n_window = self._below_gaps(n_matched, gaps)
        none = Plan(0, n_matched=n_matched, n_window=n_window)
        if not self._shape.needs_state:
            return self._plan(n_window, links, None, none)
        for end, state in states[:_MAX_STATES]:
            if self._shape.is_whole:
                return self._plan(end, (), state, replace(none, n_matched=end, n_window=end))
            if end <= n_matched and self._below_gaps(end, gaps) == end:
                return self._plan(end, links, state, none)
        return none

    def _plan(
        self,
        n_tokens: int,
        links: Sequence[Link],
        state: MemoryState | PrefixMatch | None,
        found: Plan,
    ) -> Plan:
        used = tuple(
            replace(link, end=min(link.end, n_tokens)) for link in links if link.start < n_tokens
        )
        window_from = max(0, n_tokens - self._shape.n_window)
        plan = replace(found, n_tokens=n_tokens, links=used, state=state, window_from=window_from)
        return replace(plan, n_disk_bytes=self._n_disk_bytes(plan))

    def _n_disk_bytes(self, plan: Plan) -> int:
        n_bytes = plan.state.n_bytes if isinstance(plan.state, PrefixMatch) else 0
        for link in {x.block_id: x for x in plan.links if x.tier == DISK}.values():
            block = self._disk.block(link.block_id)
            if block is None:
                continue
            n_bytes += block.n_bytes
            if not plan.needs_window(link):
                n_bytes -= (block.end - block.window_start) * self._shape.window_token_bytes
        return n_bytes

    def _window_gaps(self, links: Sequence[Link]) -> list[tuple[int, int]]:
        """Return the parts of a chain whose window rows are not kept, the last one first."""
        if not self._shape.n_window or self._shape.is_whole:
            return []
        gaps = []
        for link in reversed(links):
            window_start = self._window_start(link)
            if window_start > link.start:
                gaps.append((link.start, min(window_start, link.end)))
        return gaps

    def _window_start(self, link: Link) -> int:
        if link.tier == MEMORY:
            return self._store.block(link.block_id).window_start
        block = self._disk.block(link.block_id)
        return link.end if block is None else block.window_start

    def _below_gaps(self, n_tokens: int, gaps: Sequence[tuple[int, int]]) -> int:
        """Return the longest prefix that has all rows which its window reaches."""
        for start, end in gaps:
            if start < n_tokens and end > n_tokens - self._shape.n_window:
                n_tokens = start
        return n_tokens
