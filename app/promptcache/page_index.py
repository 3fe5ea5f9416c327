"""Owns the search for blocks by position; must know no files and no states.

Positions are divided into pages of `PAGE_TOKENS` tokens. A page is named by a hash over its tokens
and the name of the page before it, so its name stands for every token up to its end. A block
holds the tokens of some pages, the last of which may be incomplete. A prompt is followed from page
to page through one index or several, whichever blocks hold them: the work depends on the prompt,
not on the number of blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby, islice
from operator import itemgetter

from app.promptcache.token_bytes import TOKEN_BYTES, n_shared

PAGE_TOKENS = 32
_PAGE_BYTES = PAGE_TOKENS * TOKEN_BYTES
_NAME_BYTES = 16
_MAX_CANDIDATES = 16
_ROOT = b""

# A dict without values is a set that remembers the order of its keys.
_Ids = dict[str, None]
_NONE: _Ids = {}


@dataclass(frozen=True, slots=True)
class Link:
    """A part of a prompt that a block holds.

    Args:
        tier: which of the indexes has the block.
        block_id: names it there.
        start: position of the part's first token.
        end: position after its last one.
    """

    tier: int
    block_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Trace:
    """What a block left in the index.

    Args:
        start: position of its first token.
        window_start: position of its first window row.
        packed: its own tokens.
        names: of its whole pages, and before them that of the page it goes on from.
    """

    start: int
    window_start: int
    packed: bytes
    names: list[bytes]


class PageIndex:
    """Blocks by the pages they hold. Memory: about 14 bytes a token."""

    def __init__(self) -> None:
        self._traces: dict[str, _Trace] = {}
        self._whole: dict[bytes, _Ids] = {}
        self._after: dict[bytes, _Ids] = {}
        self._latest: tuple[bytes, list[bytes]] = (b"", [])

    def __contains__(self, block_id: str) -> bool:
        return block_id in self._traces

    def __len__(self) -> int:
        return len(self._traces)

    def add(
        self, block_id: str, packed: bytes, start: int, window_start: int | None = None
    ) -> None:
        """Take a block in, as the most recent one.

        Args:
            packed: all tokens up to the end of the block, from position 0.
            start: position of the block's first token, at the beginning of a page.
            window_start: position of its first window row. Of several blocks that hold a page, one
                with its window rows goes before the others. None: it has all that are needed.

        Raises:
            ValueError: `start` is within a page, or at the end.
        """
        if start % PAGE_TOKENS or not 0 <= start * TOKEN_BYTES < len(packed):
            raise ValueError(f"a block of {len(packed) // TOKEN_BYTES} tokens begins at {start}")
        self.remove(block_id)
        names = [_ROOT, *self._names(packed)][start // PAGE_TOKENS :]
        first = start if window_start is None else window_start
        self._insert(block_id, _Trace(start, first, packed[start * TOKEN_BYTES :], names))

    def _names(self, packed: bytes) -> list[bytes]:
        """Return the names of all whole pages; what the latest block shares is not hashed again."""
        latest, names = self._latest
        n_same = n_shared(latest, packed) // PAGE_TOKENS
        names = names[:n_same]
        last = names[-1] if names else _ROOT
        names += page_names(packed[n_same * _PAGE_BYTES :], last)
        self._latest = packed, names
        return names

    def _insert(self, block_id: str, trace: _Trace) -> None:
        self._traces[block_id] = trace
        for name in trace.names[1:]:
            self._whole.setdefault(name, {})[block_id] = None
        for name in _parents(trace):
            self._after.setdefault(name, {})[block_id] = None

    def remove(self, block_id: str) -> None:
        """Forget a block; one that is not here is no error."""
        trace = self._traces.pop(block_id, None)
        if trace is not None:
            for name in trace.names[1:]:
                _discard(self._whole, name, block_id)
            for name in _parents(trace):
                _discard(self._after, name, block_id)

    def refresh(self, block_id: str) -> None:
        """Make a block the most recent one."""
        trace = self._traces[block_id]
        self.remove(block_id)
        self._insert(block_id, trace)

    def tokens_of(self, block_id: str) -> bytes:
        """Return the packed tokens that a block holds itself."""
        return self._traces[block_id].packed

    def goes_on_from(self, block_id: str) -> bool:
        """Whether the page before a block is in the index, or it is the first."""
        parent = self._traces[block_id].names[0]
        return parent == _ROOT or parent in self._whole

    def has_more_after(self, block_id: str) -> bool:
        """Whether other blocks go on from one of the pages of a block."""
        names = self._traces[block_id].names[1:]
        return any(other != block_id for name in names for other in self._after.get(name, ()))

    def parents(self, block_id: str) -> Collection[str]:
        """Return the blocks that hold the page before a block; none where it is the first."""
        return self.holders(self._traces[block_id].names[0])

    def is_needed(self, block_id: str, gone: Collection[str]) -> bool:
        """Whether another block goes on from a page that this block alone holds.

        Args:
            gone: blocks that are not counted.
        """
        for name in self._traces[block_id].names[1:]:
            after = (each for each in self._after.get(name, ()) if each not in gone)
            if any(self._traces[each].names[0] == name for each in after if each != block_id):
                others = (each for each in self._whole[name] if each not in gone)
                if all(each == block_id for each in others):
                    return True
        return False

    def holders(self, name: bytes) -> Collection[str]:
        """Return the blocks that hold a whole page."""
        return self._whole.get(name, _NONE)

    def holder(self, name: bytes, position: int) -> tuple[int, str] | None:
        """Return the block that holds a whole page best, and from where on with window rows.

        That is the one with the most window rows of the page; of several the most recent one.

        Args:
            name: of the page.
            position: where it begins.
        """
        ids = self._whole.get(name)
        if ids is None:
            return None
        best: tuple[int, str] | None = None
        for block_id in islice(reversed(ids), _MAX_CANDIDATES):
            window_start = self._traces[block_id].window_start
            first = min(max(window_start, position), position + PAGE_TOKENS)
            if best is None or first < best[0]:
                best = first, block_id
            if first == position:
                break
        return best

    def longest_after(self, name: bytes, position: int, rest: bytes) -> _Longest | None:
        """Return the block that shares the most tokens with `rest` right after a page.

        Those with more window rows of these tokens go before the others.

        Args:
            name: of the page.
            position: where it ends.
            rest: packed tokens from there on.

        Returns:
            None where none shares any. Of many blocks the most recent ones are looked at.
        """
        best: _Longest | None = None
        for block_id in islice(reversed(self._after.get(name, {})), _MAX_CANDIDATES):
            trace = self._traces[block_id]
            held = trace.packed[(position - trace.start) * TOKEN_BYTES :]
            n_tokens = n_shared(held[:_PAGE_BYTES], rest[:_PAGE_BYTES])
            first = max(trace.window_start, position)
            found = _Longest(max(0, position + n_tokens - first), n_tokens, block_id)
            if n_tokens and (best is None or found.rank > best.rank):
                best = found
        return best


@dataclass(frozen=True, slots=True)
class _Longest:
    """A block that shares tokens after a page: how many with window rows, how many, its id."""

    n_window_rows: int
    n_tokens: int
    block_id: str

    @property
    def rank(self) -> tuple[int, int]:
        """The higher one is of more use."""
        return self.n_window_rows, self.n_tokens


def follow(packed: bytes, indexes: Sequence[PageIndex]) -> list[Link]:
    """Return the blocks that hold a prompt from its start on, as far as any do.

    Where several indexes have a page, the one with the most window rows of it gives it; of several
    the first.

    Args:
        packed: the prompt's tokens.
    """
    filled = [(tier, index) for tier, index in enumerate(indexes) if len(index)]
    parts: list[tuple[int, str, int, int]] = []
    name, position = _ROOT, 0
    for following in page_names(packed):
        found = _holder(following, position, filled)
        if found is None:
            break
        parts.append((*found, position, position + PAGE_TOKENS))
        name, position = following, position + PAGE_TOKENS
    rest = packed[position * TOKEN_BYTES :]
    tier, most = 0, None
    for index_tier, index in filled:
        longest = index.longest_after(name, position, rest)
        if longest is not None and (most is None or longest.rank > most.rank):
            tier, most = index_tier, longest
    if most is not None:
        parts.append((tier, most.block_id, position, position + most.n_tokens))
    return [_joined(list(same)) for _, same in groupby(parts, key=itemgetter(0, 1))]


def _holder(
    name: bytes, position: int, indexes: Sequence[tuple[int, PageIndex]]
) -> tuple[int, str] | None:
    best: tuple[int, int, str] | None = None
    for tier, index in indexes:
        found = index.holder(name, position)
        if found is not None and (best is None or found[0] < best[0]):
            best = found[0], tier, found[1]
    return None if best is None else best[1:]


def _joined(parts: list[tuple[int, str, int, int]]) -> Link:
    """Return the link for parts of one block that follow each other."""
    tier, block_id, start, _ = parts[0]
    return Link(tier, block_id, start, parts[-1][3])


def page_names(packed: bytes, name: bytes = _ROOT) -> Iterator[bytes]:
    """Yield the names of the whole pages of some tokens.

    Args:
        name: of the page before them.
    """
    for start in range(0, len(packed) - _PAGE_BYTES + 1, _PAGE_BYTES):
        page = packed[start : start + _PAGE_BYTES]
        name = blake2b(name + page, digest_size=_NAME_BYTES).digest()
        yield name


def _parents(trace: _Trace) -> list[bytes]:
    """Return the pages that a page of a block comes right after, the incomplete one's too."""
    has_rest = len(trace.packed) % _PAGE_BYTES != 0
    return trace.names if has_rest else trace.names[:-1]


def _discard(table: dict[bytes, _Ids], key: bytes, block_id: str) -> None:
    ids = table[key]
    ids.pop(block_id, None)
    if not ids:
        del table[key]


class EndIndex:
    """What belongs to some tokens as a whole, such as a state: found where they lead a prompt."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[bytes, bytes]] = {}
        self._ends: dict[bytes, dict[bytes, _Ids]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, its_id: str, packed: bytes) -> None:
        """Take something in that belongs to these tokens."""
        self.remove(its_id)
        *_, name = _ROOT, *page_names(packed)
        tail = packed[len(packed) // _PAGE_BYTES * _PAGE_BYTES :]
        self._places[its_id] = name, tail
        self._ends.setdefault(name, {}).setdefault(tail, {})[its_id] = None

    def remove(self, its_id: str) -> None:
        """Forget something; what is not here is no error."""
        name, tail = self._places.pop(its_id, (None, b""))
        if name is not None:
            _discard(self._ends[name], tail, its_id)
            if not self._ends[name]:
                del self._ends[name]

    def prefixes_of(self, packed: bytes) -> Iterator[str]:
        """Find what belongs to tokens that lead a prompt, the longest first, then the latest."""
        names = [_ROOT, *page_names(packed)]
        for n_pages in range(len(names) - 1, -1, -1):
            tails = self._ends.get(names[n_pages])
            if tails is not None:
                start = n_pages * _PAGE_BYTES
                rest = packed[start : start + _PAGE_BYTES - TOKEN_BYTES]
                for end in range(len(rest), -1, -TOKEN_BYTES):
                    yield from reversed(tails.get(rest[:end], {}))
