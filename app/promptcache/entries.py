"""Owns what is known in memory of one model's entries; must know no files and no locks."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from app.promptcache.entry_header import EntryMetadata, Role
from app.promptcache.folders import file_name
from app.promptcache.prefix_index import PrefixIndex
from app.promptcache.token_bytes import TOKEN_BYTES, n_shared


@dataclass(slots=True, eq=False)
class Entry:
    """One entry. It takes about 16 bytes of memory a token, the index included.

    Args:
        entry_id: 32 hex digits made of its form and its tokens.
        form: what kind of state it is.
        role: what the tokens are.
        profile: what it is pinned for; "" where it may be evicted.
        tokens: packed.
        n_bytes: size of its file.
        n_extra_bytes: size of what the caller gave along.
        created_s: seconds since the epoch.
        last_used_s: rises with each use; seconds since the epoch unless the clock was set back.
        touched_s: when the file's time of modification was set.
    """

    entry_id: str
    form: str
    role: Role
    profile: str
    tokens: bytes
    n_bytes: int
    n_extra_bytes: int
    created_s: float
    last_used_s: float
    touched_s: float

    @property
    def n_tokens(self) -> int:
        """Length of its token list."""
        return len(self.tokens) // TOKEN_BYTES

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return file_name(self.entry_id, is_pinned=bool(self.profile))

    def unpin(self) -> None:
        """Make it an ordinary one."""
        self.profile = ""
        self.role = "boundary"


def entry_of(metadata: EntryMetadata, *, is_pinned: bool, used_s: float) -> Entry:
    """Return the entry that a file holds."""
    header = metadata.header
    entry = Entry(
        entry_id=id_of(metadata.tokens, header.form),
        form=header.form,
        role=header.role,
        profile=header.profile,
        tokens=metadata.tokens,
        n_bytes=metadata.n_bytes,
        n_extra_bytes=header.n_extra_bytes,
        created_s=header.created_s,
        last_used_s=used_s,
        touched_s=used_s,
    )
    if header.profile and not is_pinned:
        entry.unpin()
    return entry


def id_of(packed: bytes, form: str) -> str:
    """Return the id of the entry of these tokens."""
    return hashlib.sha256(form.encode() + b"\0" + packed).hexdigest()[:32]


class EntryTable:
    """Entries by id and by prefix.

    Args:
        can_cut: whether a restored state may lose its end; where it may not, an entry serves
            only prompts that begin with all of it.
    """

    def __init__(self, *, can_cut: bool) -> None:
        self._can_cut = can_cut
        self._entries: dict[str, Entry] = {}
        self._indexes: dict[str, PrefixIndex] = {}

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

    def add(self, entry: Entry) -> None:
        """Take an entry in as the most recently used one, in the place of one like it."""
        self.pop(entry.entry_id)
        self._entries[entry.entry_id] = entry
        self._index(entry.form).add(entry.entry_id, entry.tokens)

    def pop(self, entry_id: str) -> Entry | None:
        """Forget an entry and return it, None where it is not here."""
        entry = self._entries.pop(entry_id, None)
        if entry is not None:
            self._index(entry.form).remove(entry_id)
        return entry

    def mark_used(self, entry: Entry, used_s: float) -> None:
        """Make an entry the most recently used one."""
        entry.last_used_s = used_s
        self._entries[entry.entry_id] = self._entries.pop(entry.entry_id)
        self._index(entry.form).refresh(entry.entry_id)

    def newest_first(self) -> list[Entry]:
        """Return all entries, the most recently used one first."""
        return list(reversed(self._entries.values()))

    def newest(self, form: str) -> Entry | None:
        """Return the most recently used entry, None where there is none."""
        newest_first = reversed(self._entries.values())
        return next((entry for entry in newest_first if entry.form == form), None)

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
