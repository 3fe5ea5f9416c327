"""Owns which part of a prompt can be restored, and from what; decides, and moves no bytes.

A prompt can go on after m of its tokens where blocks hold the rows of all m, window rows those of
the last ones that a window reaches, and, with recurrent layers, a state was saved after exactly m.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from app.engine.kv.disk_tier import DISK, MEMORY, DiskCacheTier
from app.engine.kv.memory_store import MemoryState, MemoryStore
from app.engine.kv.state_shape import StateShape
from app.promptcache import Link, PrefixMatch, pack

_MAX_STATES = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """What a prompt is restored from.

    Args:
        n_tokens: how many of its tokens that gives; 0 for none.
        links: the blocks that hold them, in their order.
        state: what layers without rows hold after them.
        n_matched: how many leading tokens blocks hold, whether or not it can go on there.
        n_window: how many of these it could go on after, as far as window rows are concerned.
        n_disk_bytes: what is to be read from the disk.
    """

    n_tokens: int
    links: tuple[Link, ...] = ()
    state: MemoryState | PrefixMatch | None = None
    n_matched: int = 0
    n_window: int = 0
    n_disk_bytes: int = 0

    @property
    def tier(self) -> str:
        """The slowest tier that it needs: `memory` or `disk`."""
        on_disk = isinstance(self.state, PrefixMatch) or any(x.tier == DISK for x in self.links)
        return "disk" if on_disk else "memory"


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
        packed = pack(tokens)
        states = ((state.end, state) for state in self._store.states_of(packed))
        return self._longest(self._store.chain(tokens), states)

    def anywhere(self, tokens: Sequence[int], skip: Collection[str] = ()) -> Plan:
        """Return the longest prefix that memory and disk together can restore.

        Args:
            skip: ids of states on the disk that are of no use.
        """
        if not self._disk.is_on:
            return self.in_memory(tokens)
        links = self._disk.chain(tokens, self._store.index)
        return self._longest(links, self._all_states(tokens, skip))

    def on_disk(self, tokens: Sequence[int]) -> Plan:
        """Return the longest prefix that the disk alone can restore."""
        states = ((found.n_tokens, found) for found in self._disk.states(tokens))
        return self._longest(self._disk.chain(tokens, None), states)

    def _all_states(
        self, tokens: Sequence[int], skip: Collection[str]
    ) -> Iterator[tuple[int, MemoryState | PrefixMatch]]:
        """Yield the states after prefixes of a prompt, the longest first, memory's before others.

        Nothing is looked up for a model without states.
        """
        if not self._shape.needs_state:
            return
        found: list[tuple[int, MemoryState | PrefixMatch]] = [
            (state.end, state) for state in self._store.states_of(pack(tokens))
        ]
        found += [
            (match.n_tokens, match)
            for match in self._disk.states(tokens)
            if match.entry_id not in skip
        ]
        yield from sorted(found, key=lambda each: -each[0])

    def _longest(
        self,
        links: Sequence[Link],
        states: Iterator[tuple[int, MemoryState | PrefixMatch]],
    ) -> Plan:
        n_matched = links[-1].end if links else 0
        gaps = self._window_gaps(links)
        n_window = self._below_gaps(n_matched, gaps)
        none = Plan(0, n_matched=n_matched, n_window=n_window)
        if not self._shape.needs_state:
            return self._plan(n_window, links, None, none)
        for _, (end, state) in zip(range(_MAX_STATES), states, strict=False):
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
        n_bytes = state.n_bytes if isinstance(state, PrefixMatch) else 0
        for block_id in {link.block_id for link in used if link.tier == DISK}:
            block = self._disk.block(block_id)
            n_bytes += block.n_bytes if block is not None else 0
        return replace(found, n_tokens=n_tokens, links=used, state=state, n_disk_bytes=n_bytes)

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
