"""Owns what left the KV cache for memory: blocks of attention rows and states; no llama.cpp here.

Idle tokens in the KV cache are paid for by everyone: attention runs over every cell in use. In
memory they cost nothing until a prompt begins with them. A block that several conversations share
is here once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.engine.kv.state_shape import StateShape
from app.promptcache import PAGE_TOKENS, Link, PageIndex, PrefixIndex, Snapshot, follow, pack
from app.promptcache.token_bytes import TOKEN_BYTES

MIN_USEFUL_TOKENS = 16
_MAX_BLOCK_BYTES = 16 * 1024 * 1024
_STATES_OF_A_CONVERSATION = 3


@dataclass(slots=True, eq=False)
class MemoryBlock:
    """Rows of consecutive tokens.

    Args:
        packed: all tokens up to its end.
        start: position of its first token, at the beginning of a page.
        rows: the attention rows of its tokens, one after the other.
        window_start: position of the first window row; its end where there are none.
        window_rows: those of the layers with a window.
        is_head: whether instructions and tools are all it holds; such go last.
        used: when it was used last, as a count of uses.
    """

    packed: bytes
    start: int
    rows: memoryview
    window_start: int
    window_rows: memoryview
    is_head: bool = False
    used: int = 0

    @property
    def end(self) -> int:
        """Position after its last token."""
        return len(self.packed) // TOKEN_BYTES

    @property
    def n_bytes(self) -> int:
        """Memory that it takes; its tokens count too."""
        return len(self.rows) + len(self.window_rows) + len(self.packed)


@dataclass(slots=True, eq=False)
class MemoryState:
    """What layers without rows hold after some tokens.

    Args:
        packed: these tokens.
        data: llama.cpp's bytes.
        is_head: whether it stands where instructions and tools end; such go last.
        used: when it was used last, as a count of uses.
    """

    packed: bytes
    data: memoryview
    is_head: bool = False
    used: int = 0

    @property
    def end(self) -> int:
        """Position after the last token."""
        return len(self.packed) // TOKEN_BYTES

    @property
    def n_bytes(self) -> int:
        """Memory that it takes; its tokens count too."""
        return len(self.data) + len(self.packed)


class MemoryStore:
    """Blocks and states within a budget.

    Args:
        capacity_bytes: what all of them may take; 0 keeps nothing.
        shape: what of a model's state is kept how.
        max_block_bytes: rows that one block may have; it has one page at least.
    """

    def __init__(
        self,
        capacity_bytes: int,
        shape: StateShape,
        *,
        max_block_bytes: int = _MAX_BLOCK_BYTES,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.index = PageIndex()
        self._shape = shape
        self._max_block_bytes = max_block_bytes
        self._blocks: dict[str, MemoryBlock] = {}
        self._states: dict[str, MemoryState] = {}
        self._states_index = PrefixIndex()
        self._ids = map(str, itertools.count(1))
        self._clock = itertools.count(1)
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._blocks) + len(self._states)

    def blocks(self) -> list[MemoryBlock]:
        """Return all blocks."""
        return list(self._blocks.values())

    def states(self) -> list[MemoryState]:
        """Return all states."""
        return list(self._states.values())

    def clear(self) -> None:
        """Forget all."""
        self.index = PageIndex()
        self._states_index = PrefixIndex()
        self._blocks.clear()
        self._states.clear()
        self.n_bytes = 0

    # ------------------------------------------------------------ look-up

    def block(self, block_id: str) -> MemoryBlock:
        """Return the block that a link names."""
        return self._blocks[block_id]

    def chain(self, tokens: Sequence[int]) -> list[Link]:
        """Return the blocks that hold a prompt from its start on."""
        return follow(pack(tokens), [self.index])

    def states_of(self, packed: bytes) -> Iterator[MemoryState]:
        """Yield the states all of whose tokens lead a prompt, the longest first."""
        for state_id in self._states_index.prefixes_of(packed):
            state = self._states[state_id]
            if packed.startswith(state.packed):
                yield state

    def state_at(self, packed: bytes) -> MemoryState | None:
        """Return the state after exactly these tokens."""
        first = next(self.states_of(packed), None)
        return first if first is not None and len(first.packed) == len(packed) else None

    def mark_used(self, links: Sequence[Link], state: MemoryState | None = None) -> None:
        """Make blocks, and a state, the most recently used ones."""
        now = next(self._clock)
        for link in links:
            if link.tier == 0:
                self._blocks[link.block_id].used = now
        if state is not None:
            state.used = now

    # ------------------------------------------------------------ changes

    def put(self, packed: bytes, snapshot: Snapshot, n_head: int = 0) -> None:
        """Take in what `make_room` made room for.

        Args:
            packed: all tokens up to the end of the snapshot.
            snapshot: their rows from a page on, and the state at the end.
            n_head: leading tokens that are instructions and tools.
        """
        now = next(self._clock)
        for link in follow(packed, [self.index]):
            self._blocks[link.block_id].used = now
        for block in self._split(packed, snapshot, n_head):
            block.used = now
            block_id = next(self._ids)
            self._blocks[block_id] = block
            self.index.add(block_id, block.packed, block.start)
            self.n_bytes += block.n_bytes
        if snapshot.state is not None:
            is_head = snapshot.n_tokens == n_head
            self._put_state(MemoryState(packed, memoryview(snapshot.state), is_head, now))

    def _put_state(self, state: MemoryState) -> None:
        older = [
            (state_id, self._states[state_id])
            for state_id in self._states_index.prefixes_of(state.packed)
            if state.packed.startswith(self._states[state_id].packed)
        ]
        for state_id, other in older:
            if other.packed == state.packed:
                state.is_head = state.is_head or other.is_head
                self._drop_state(state_id)
        passing = [each for each in older if not each[1].is_head and each[0] in self._states]
        for state_id, _ in passing[_STATES_OF_A_CONVERSATION - 1 :]:
            self._drop_state(state_id)
        state_id = next(self._ids)
        self._states[state_id] = state
        self._states_index.add(state_id, state.packed)
        self.n_bytes += state.n_bytes

    def _split(self, packed: bytes, snapshot: Snapshot, n_head: int) -> Iterator[MemoryBlock]:
        """Cut rows into blocks: where the head ends, and where one would be too large."""
        size = self._shape.token_bytes + self._shape.window_token_bytes
        n_most = max(1, self._max_block_bytes // max(1, size) // PAGE_TOKENS) * PAGE_TOKENS
        head_end = n_head // PAGE_TOKENS * PAGE_TOKENS if n_head < snapshot.n_tokens else n_head
        start = snapshot.start
        while start < snapshot.n_tokens:
            end = min(start + n_most, snapshot.n_tokens)
            if start < head_end < end:
                end = head_end
            block = snapshot_part(self._shape, snapshot, start, end)
            yield MemoryBlock(
                packed[: end * TOKEN_BYTES],
                start,
                memoryview(bytes(block.rows)),
                block.window_start,
                memoryview(bytes(block.window_rows)),
                is_head=end <= n_head,
            )
            start = end

    def make_room(self, n_bytes: int, kept: Sequence[Link] = ()) -> list[MemoryBlock | MemoryState]:
        """Evict until so much fits: the least recently used, heads last, ends before beginnings.

        Args:
            kept: blocks that stay.

        Returns:
            What was evicted.
        """
        stays = {link.block_id for link in kept if link.tier == 0}
        evicted: list[MemoryBlock | MemoryState] = []
        if self.n_bytes + n_bytes <= self.capacity_bytes:
            return evicted
        candidates: list[tuple[tuple[bool, int, int], str]] = [
            ((each.is_head, each.used, -each.end), block_id)
            for block_id, each in self._blocks.items()
            if block_id not in stays
        ]
        candidates += [
            ((each.is_head, each.used, -each.end), state_id)
            for state_id, each in self._states.items()
        ]
        for _, its_id in sorted(candidates):
            if self.n_bytes + n_bytes <= self.capacity_bytes:
                break
            evicted.append(self._drop(its_id))
        return evicted

    def _drop(self, its_id: str) -> MemoryBlock | MemoryState:
        if its_id in self._states:
            return self._drop_state(its_id)
        block = self._blocks.pop(its_id)
        self.index.remove(its_id)
        self.n_bytes -= block.n_bytes
        return block

    def _drop_state(self, state_id: str) -> MemoryState:
        state = self._states.pop(state_id)
        self._states_index.remove(state_id)
        self.n_bytes -= state.n_bytes
        return state


def snapshot_part(shape: StateShape, snapshot: Snapshot, start: int, end: int) -> Snapshot:
    """Return the rows of a part of a snapshot, without a state."""
    size, window_size = shape.token_bytes, shape.window_token_bytes
    rows = memoryview(snapshot.rows)[(start - snapshot.start) * size :][: (end - start) * size]
    window_start = min(max(start, snapshot.window_start), end)
    n_before = (window_start - snapshot.window_start) * window_size
    window_rows = memoryview(snapshot.window_rows)[max(0, n_before) :]
    window_rows = window_rows[: (end - window_start) * window_size]
    return Snapshot(end, start, rows, window_start, window_rows, None)
