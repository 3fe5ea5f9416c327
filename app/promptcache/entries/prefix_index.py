"""Owns the search for entries by shared prefix; must know no files and no states.

A token list is cut into blocks, and each block is named by a hash over itself and the name of
the block before it. So the name of a block stands for everything up to its end, and a prompt is
followed from name to name as far as any entry goes: the work depends on the prompt, not on the
number of entries. Names are hashes: whoever uses an answer compares the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

from app.promptcache.token_bytes import TOKEN_BYTES

BLOCK_TOKENS = 32
MAX_CANDIDATES = 16

_BLOCK_BYTES = BLOCK_TOKENS * TOKEN_BYTES
_NAME_BYTES = 8

# A dict without values is a set that remembers the order of its keys.
_Ids = dict[str, None]


@dataclass(frozen=True, slots=True)
class _Trace:
    """What an entry left in the index: the names of its blocks, and the tokens after them."""

    names: list[bytes]
    tail: bytes


class PrefixIndex:
    """Entries by prefix. Lists shorter than `BLOCK_TOKENS` are not in it.

    Memory: about 12 bytes a token.
    """

    def __init__(self) -> None:
        self._traces: dict[str, _Trace] = {}
        self._through: dict[bytes, _Ids] = {}
        self._ends: dict[bytes, dict[bytes, _Ids]] = {}
        self.n_probes = 0
        """Look-ups in the tables so far: the measure of the work done."""

    def add(self, entry_id: str, packed: bytes) -> None:
        """Take an entry in, as the most recent one."""
        names = list(_block_names(packed))
        if not names:
            return
        self._insert(entry_id, _Trace(names, packed[len(names) * _BLOCK_BYTES :]))

    def _insert(self, entry_id: str, trace: _Trace) -> None:
        self._traces[entry_id] = trace
        for name in trace.names:
            self._through.setdefault(name, {})[entry_id] = None
        tails = self._ends.setdefault(trace.names[-1], {})
        tails.setdefault(trace.tail, {})[entry_id] = None

    def remove(self, entry_id: str) -> None:
        """Forget an entry; one that is not here is no error."""
        self._take_out(entry_id)

    def refresh(self, entry_id: str) -> None:
        """Make an entry the most recent one."""
        trace = self._take_out(entry_id)
        if trace is not None:
            self._insert(entry_id, trace)

    def _take_out(self, entry_id: str) -> _Trace | None:
        trace = self._traces.pop(entry_id, None)
        if trace is None:
            return None
        for name in trace.names:
            _discard(self._through, name, entry_id)
        tails = self._ends[trace.names[-1]]
        _discard(tails, trace.tail, entry_id)
        if not tails:
            del self._ends[trace.names[-1]]
        return trace

    def deepest(self, packed: bytes) -> tuple[int, list[str]]:
        """Find the entries that follow a prompt for the most blocks.

        Returns:
            Tokens in these blocks, and the entries: first some that end in the last of them,
            then some that go on, the most recent first. No more than `MAX_CANDIDATES` of each,
            so where more share the block, up to `BLOCK_TOKENS - 1` shared tokens may be missed.
        """
        known = self._follow(packed)
        if not known:
            return 0, []
        ending = (id_ for ids in reversed(self._ends.get(known[-1], {}).values()) for id_ in ids)
        through = reversed(self._through[known[-1]])
        self.n_probes += 2
        candidates = dict.fromkeys(islice(ending, MAX_CANDIDATES))
        candidates |= dict.fromkeys(islice(through, MAX_CANDIDATES))
        return len(known) * BLOCK_TOKENS, list(candidates)

    def prefixes_of(self, packed: bytes) -> Iterator[str]:
        """Find the entries all of whose tokens lead a prompt, the longest first."""
        known = self._follow(packed)
        for n_blocks in range(len(known), 0, -1):
            tails = self._ends.get(known[n_blocks - 1])
            self.n_probes += 1
            if tails is not None:
                start = n_blocks * _BLOCK_BYTES
                yield from self._leading(tails, packed[start : start + _BLOCK_BYTES - TOKEN_BYTES])

    def _leading(self, tails: dict[bytes, _Ids], rest: bytes) -> Iterator[str]:
        for end in range(len(rest), -1, -TOKEN_BYTES):
            self.n_probes += 1
            yield from tails.get(rest[:end], ())

    def _follow(self, packed: bytes) -> list[bytes]:
        known: list[bytes] = []
        for name in _block_names(packed):
            self.n_probes += 1
            if name not in self._through:
                break
            known.append(name)
        return known


def _block_names(packed: bytes) -> Iterator[bytes]:
    name = b""
    for start in range(0, len(packed) - _BLOCK_BYTES + 1, _BLOCK_BYTES):
        block = packed[start : start + _BLOCK_BYTES]
        name = blake2b(name + block, digest_size=_NAME_BYTES).digest()
        yield name


def _discard(table: dict[bytes, _Ids], key: bytes, entry_id: str) -> None:
    ids = table[key]
    del ids[entry_id]
    if not ids:
        del table[key]
