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
from app.promptcache import PAGE_TOKENS, EndIndex, Link, PageIndex, Snapshot, follow, pack
from app.promptcache.token_bytes import TOKEN_BYTES
from app.protocol import KindCounts

MIN_USEFUL_TOKENS = 16
_MAX_BLOCK_BYTES = 16 * 1024 * 1024
_FEWEST_STATES, _MOST_STATES = 3, 8
_SHARE_OF_A_STATE = 16


@dataclass(slots=True, eq=False)
class MemoryBlock:
    """Rows of consecutive tokens.

    Args:
        block_id: names it in the index.
        packed: all tokens up to its end.
        start: position of its first token, at the beginning of a page.
        rows: the attention rows of its tokens, one after the other.
        window_start: position of the first window row; its end where there are none.
        window_rows: those of the layers with a window.
        is_head: whether instructions and tools are all it holds; such go last.
        used: when it was used last, as a count of uses.
    """

    block_id: str
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
        state_id: names it in the index.
        packed: these tokens.
        data: llama.cpp's bytes.
        is_head: whether it stands where instructions and tools end; such go last.
        used: when it was used last, as a count of uses.
    """

    state_id: str
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
        self._states_index = EndIndex()
        self._window_ends = EndIndex()
        self._ids = map(str, itertools.count(1))
        self._clock = itertools.count(1)
        self.n_bytes = 0
        self._n_state_bytes = 0

    def __len__(self) -> int:
        return len(self._blocks) + len(self._states)

    def blocks(self) -> list[MemoryBlock]:
        """Return all blocks."""
        return list(self._blocks.values())

    def states(self) -> list[MemoryState]:
        """Return all states."""
        return list(self._states.values())

    def kinds(self) -> KindCounts:
        """Return the numbers and bytes of blocks and states."""
        return KindCounts(
            blocks=len(self._blocks),
            block_bytes=self.n_bytes - self._n_state_bytes,
            states=len(self._states),
            state_bytes=self._n_state_bytes,
        )

    def clear(self) -> None:
        """Forget all."""
        self.index = PageIndex()
        self._states_index = EndIndex()
        self._window_ends = EndIndex()
        self._blocks.clear()
        self._states.clear()
        self.n_bytes = self._n_state_bytes = 0

    # ------------------------------------------------------------ look-up

    def block(self, block_id: str) -> MemoryBlock:
        """Return the block that a link names.

        Raises:
            KeyError: it was evicted since the link was made.
        """
        return self._blocks[block_id]

    def chain(self, tokens: Sequence[int]) -> list[Link]:
        """Return the blocks that hold a prompt from its start on."""
        return follow(pack(tokens), [self.index])

    def states_of(self, packed: bytes) -> Iterator[MemoryState]:
        """Yield the states all of whose tokens lead a prompt, the longest first."""
        for state_id in self._states_index.prefixes_of(packed):
            yield self._states[state_id]

    def ends(self, packed: bytes) -> list[int]:
        """Return where blocks with window rows end that lead a prompt, the longest first."""
        found = self._window_ends.prefixes_of(packed)
        return list(dict.fromkeys(self._blocks[block_id].end for block_id in found))

    def mark_used(self, links: Sequence[Link], state: object = None) -> None:
        """Make blocks, and a state, the most recently used ones; other tiers' are left out."""
        now = next(self._clock)
        for link in links:
            if link.tier == 0 and link.block_id in self._blocks:
                self._blocks[link.block_id].used = now
        if isinstance(state, MemoryState):
            state.used = now

    # ------------------------------------------------------------ changes

    def put(self, packed: bytes, snapshot: Snapshot, n_head: int = 0) -> None:
        """Take in what `victims` and `drop` made room for.

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
            self._blocks[block.block_id] = block
            self.index.add(block.block_id, block.packed, block.start, block.window_start)
            if block.window_start < block.end:
                self._window_ends.add(block.block_id, block.packed)
            self.n_bytes += block.n_bytes
        if snapshot.state is not None:
            is_head = snapshot.n_tokens == n_head
            data = memoryview(snapshot.state)
            self._put_state(MemoryState(next(self._ids), packed, data, is_head, now))

    def _put_state(self, state: MemoryState) -> None:
        """Take a state in; of the conversation that it belongs to, the last few stay."""
        older = list(self.states_of(state.packed))
        passing = []
        for other in older:
            if other.packed == state.packed:
                state.is_head = state.is_head or other.is_head
                self._drop_state(other)
            elif not other.is_head:
                passing.append(other)
        fitting = self.capacity_bytes // (_SHARE_OF_A_STATE * state.n_bytes)
        for other in passing[max(_FEWEST_STATES, min(fitting, _MOST_STATES)) - 1 :]:
            self._drop_state(other)
        self._states[state.state_id] = state
        self._states_index.add(state.state_id, state.packed)
        self.n_bytes += state.n_bytes
        self._n_state_bytes += state.n_bytes

    def _split(self, packed: bytes, snapshot: Snapshot, n_head: int) -> Iterator[MemoryBlock]:
        """Cut rows into blocks: where the head ends, and where one would be too large."""
        n_most = self._most_tokens()
        head_end = n_head // PAGE_TOKENS * PAGE_TOKENS if n_head < snapshot.n_tokens else n_head
        start = snapshot.start
        while start < snapshot.n_tokens:
            end = min(start + n_most, snapshot.n_tokens)
            if start < head_end < end:
                end = head_end
            block = snapshot_part(self._shape, snapshot, start, end)
            yield MemoryBlock(
                next(self._ids),
                packed[: end * TOKEN_BYTES],
                start,
                memoryview(bytes(block.rows)),
                block.window_start,
                memoryview(bytes(block.window_rows)),
                is_head=end <= n_head,
            )
            start = end

    def _most_tokens(self) -> int:
        size = max(1, self._shape.token_bytes + self._shape.window_token_bytes)
        return max(1, self._max_block_bytes // size // PAGE_TOKENS) * PAGE_TOKENS

    def cost(self, snapshot: Snapshot) -> int:
        """Return the bytes that a snapshot takes here at most, with the tokens of its blocks."""
        parts = (snapshot.rows, snapshot.window_rows, snapshot.state or b"")
        n_blocks = 1 + -(-(snapshot.n_tokens - snapshot.start) // self._most_tokens())
        n_copies = n_blocks + (snapshot.state is not None)
        return sum(map(len, parts)) + n_copies * snapshot.n_tokens * TOKEN_BYTES

    def victims(
        self, n_bytes: int, kept: Sequence[Link] = ()
    ) -> list[MemoryBlock | MemoryState] | None:
        """Return what to drop until so much fits: what was not used longest, heads last.

        Of what was used at once, ends go before the beginnings that they need.

        Args:
            kept: blocks that stay.

        Returns:
            None where it does not fit beside those that stay.
        """
        excess = self.n_bytes + n_bytes - self.capacity_bytes
        if excess <= 0:
            return []
        stays = [self._blocks[link.block_id] for link in kept if link.tier == 0]
        found: list[MemoryBlock | MemoryState] = []
        everything: list[MemoryBlock | MemoryState] = [
            *self._blocks.values(),
            *self._states.values(),
        ]
        for each in sorted(everything, key=_order_of_leaving):
            if excess <= 0:
                break
            if each not in stays:
                found.append(each)
                excess -= each.n_bytes
        return found if excess <= 0 else None

    def drop(self, dropped: Sequence[MemoryBlock | MemoryState]) -> None:
        """Forget blocks and states."""
        for each in dropped:
            if isinstance(each, MemoryState):
                self._drop_state(each)
            else:
                del self._blocks[each.block_id]
                self.index.remove(each.block_id)
                self._window_ends.remove(each.block_id)
                self.n_bytes -= each.n_bytes

    def _drop_state(self, state: MemoryState) -> None:
        del self._states[state.state_id]
        self._states_index.remove(state.state_id)
        self.n_bytes -= state.n_bytes
        self._n_state_bytes -= state.n_bytes

    def like(self, tokens: Sequence[int]) -> Iterator[bytes]:
        """Yield the packed tokens of the block that shares the most with a prompt, or the latest.

        Nothing where there is none.
        """
        links = self.chain(tokens)
        if links:
            yield self._blocks[links[-1].block_id].packed
        elif self._blocks:
            yield max(self._blocks.values(), key=lambda block: (block.used, block.end)).packed


def _order_of_leaving(each: MemoryBlock | MemoryState) -> tuple[bool, int, int]:
    """Return what to sort by: rows leave after all that is of no use without them."""
    needs_rows_before = each.end if isinstance(each, MemoryState) else each.start
    return each.is_head, each.used, -needs_rows_before


def snapshot_part(shape: StateShape, snapshot: Snapshot, start: int, end: int) -> Snapshot:
    """Return the rows of a part of a snapshot, without a state."""
    size, window_size = shape.token_bytes, shape.window_token_bytes
    rows = memoryview(snapshot.rows)[(start - snapshot.start) * size :][: (end - start) * size]
    window_start = min(max(start, snapshot.window_start), end)
    n_before = (window_start - snapshot.window_start) * window_size
    window_rows = memoryview(snapshot.window_rows)[max(0, n_before) :]
    window_rows = window_rows[: (end - window_start) * window_size]
    return Snapshot(end, start, rows, window_start, window_rows, None)
