"""Owns the table of one model's entries: by id, by prefix and, blocks, by position."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice

from app.promptcache.entries.entry import Entry, id_of
from app.promptcache.entries.prefix_index import PrefixIndex
from app.promptcache.page_index import EndIndex, PageIndex, page_names
from app.promptcache.token_bytes import n_shared


class EntryTable:
    """The entries of one model, the least recently used first.

    States are found by prefix, blocks by position. A state takes about 16 bytes of memory a token,
    the index included, and a block about as many for each of its own tokens.

    Args:
        can_cut: whether a restored state may lose its end; where it may not, a state serves only
            prompts that begin with all of it.
    """

    def __init__(self, *, can_cut: bool) -> None:
        self._can_cut = can_cut
        self._entries: dict[str, Entry] = {}
        self._indexes: dict[str, PrefixIndex] = {}
        self._last_pages: dict[str, bytes] = {}
        self.blocks = PageIndex()
        self.window_ends = EndIndex()

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def n_probes(self) -> int:
        """Look-ups in the indexes so far: the measure of the work done."""
        return sum(index.n_probes for index in self._indexes.values())

    def get(self, entry_id: str) -> Entry | None:
        """Return an entry, None where it is not here."""
        return self._entries.get(entry_id)

    def states_at(self, packed: bytes) -> list[Entry]:
        """Return the states of exactly these tokens, of all forms."""
        ids = [id_of(packed, form) for form in self._indexes]
        return [self._entries[each] for each in ids if each in self._entries]

    def add(self, entry: Entry) -> None:
        """Take an entry in as the most recently used one, in the place of one like it."""
        self.pop(entry.entry_id)
        self._entries[entry.entry_id] = entry
        if entry.kind == "block":
            self.blocks.add(entry.entry_id, entry.tokens, entry.start, entry.window_start)
            if entry.window_start < entry.n_tokens:
                self.window_ends.add(entry.entry_id, entry.tokens)
            entry.tokens = b""
        else:
            self._index(entry.form).add(entry.entry_id, entry.tokens)
            if entry.needs_rows:
                self._last_pages[entry.entry_id] = last_page(entry.tokens)

    def pop(self, entry_id: str) -> Entry | None:
        """Forget an entry and return it, None where it is not here."""
        entry = self._entries.pop(entry_id, None)
        if entry is not None:
            self._last_pages.pop(entry_id, None)
            if entry.kind == "block":
                self.blocks.remove(entry_id)
                self.window_ends.remove(entry_id)
            else:
                self._index(entry.form).remove(entry_id)
        return entry

    def mark_used(self, entry: Entry, used_s: float) -> None:
        """Make an entry the most recently used one."""
        entry.last_used_s = used_s
        self._entries[entry.entry_id] = self._entries.pop(entry.entry_id)
        if entry.kind == "state":
            self._index(entry.form).refresh(entry.entry_id)

    def unreachable(self) -> set[str]:
        """Return the blocks whose beginning is missing, and the states whose rows are."""
        by_start = sorted(
            (each for each in self._entries.values() if each.kind == "block"),
            key=lambda each: each.start,
        )
        reached: set[str] = set()
        for block in by_start:
            before = self.blocks.parents(block.entry_id)
            if block.start == 0 or any(each in reached for each in before):
                reached.add(block.entry_id)
        lost = {block.entry_id for block in by_start} - reached
        for state_id, page in self._last_pages.items():
            holders = self.blocks.holders(page) if page else reached
            if not any(each in reached for each in holders):
                lost.add(state_id)
        return lost

    def newest_first(self) -> list[Entry]:
        """Return all entries, the most recently used one first."""
        return list(reversed(self._entries.values()))

    def newest(self, form: str) -> Entry | None:
        """Return the most recently used entry that none goes on from, None where there is none."""
        return next(
            (each for each in reversed(self._entries.values()) if self._ends(each, form)), None
        )

    def _ends(self, entry: Entry, form: str) -> bool:
        if entry.kind == "block":
            return form == "" and not self.blocks.has_more_after(entry.entry_id)
        return entry.form == form

    def best(
        self, packed: bytes, form: str, skip: Collection[str] = ()
    ) -> tuple[Entry, int] | None:
        """Return the entry that saves a prompt the most tokens, and how many.

        Of two that save as many it is the smaller one. Where those with the longest prefix are to
        be skipped, it is the longest one that is a prefix of the prompt as a whole.
        """
        candidates = (
            self._candidates(packed, form) if self._can_cut else self._longest(packed, form)
        )
        candidates = [entry for entry in candidates if entry.entry_id not in skip]
        if not candidates:
            whole = self.prefixes_of(packed, form)
            candidates = [entry for entry in whole if entry.entry_id not in skip][:1]
        ranked = [(n_shared(entry.tokens, packed), -entry.n_bytes, entry) for entry in candidates]
        shared, _, entry = max(ranked, key=lambda each: each[:2], default=(0, 0, None))
        return None if entry is None else (entry, shared)

    def covering(self, packed: bytes, form: str) -> list[Entry]:
        """Return entries that can serve in the place of one of these tokens."""
        same = self._entries.get(id_of(packed, form))
        found = [] if same is None else [same]
        if self._can_cut:
            longer = self._candidates(packed, form)
            found += [entry for entry in longer if entry.tokens.startswith(packed)]
        return found

    def prefixes_of(self, packed: bytes, form: str) -> Iterator[Entry]:
        """Yield the entries all of whose tokens lead these tokens, the longest first."""
        for entry_id in self._index(form).prefixes_of(packed):
            entry = self._entries[entry_id]
            if packed.startswith(entry.tokens):
                yield entry

    def _longest(self, packed: bytes, form: str) -> list[Entry]:
        return list(islice(self.prefixes_of(packed, form), 1))

    def _candidates(self, packed: bytes, form: str) -> list[Entry]:
        _, ids = self._index(form).deepest(packed)
        return [self._entries[entry_id] for entry_id in ids]

    def _index(self, form: str) -> PrefixIndex:
        return self._indexes.setdefault(form, PrefixIndex())


def last_page(packed: bytes) -> bytes:
    """Return the name of the last whole page of some tokens, b"" where there is none."""
    return next(iter(deque(page_names(packed), maxlen=1)), b"")
