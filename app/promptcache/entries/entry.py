"""Owns the facts about one entry and its id; must know no files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from app.promptcache.entry_header import EntryMetadata, Kind, Role
from app.promptcache.folders import file_name
from app.promptcache.token_bytes import TOKEN_BYTES

PIN_FORM = "pin"
"""Of a state entry that holds nothing: its tokens are what a profile pins."""


@dataclass(slots=True, eq=False)
class Entry:
    """One entry: a block of rows or a state.

    Args:
        entry_id: 32 hex digits made of its kind and its tokens.
        kind: what it is.
        form: what kind of state it is.
        role: what the tokens are.
        profile: what it is pinned for; "" where it may be evicted.
        is_pinned: whether its file bears the name of one that is never evicted.
        is_anchor: whether what its tokens need is pinned for its sake.
        tokens: packed; of a block none, for the index has its own.
        n_tokens: up to its end, from position 0.
        start: position from which on it holds all; a state that needs rows holds none.
        window_start: position of the first window row; `n_tokens` for none.
        n_bytes: size of its file.
        n_extra_bytes: size of what the caller gave along.
        created_s: seconds since the epoch.
        last_used_s: rises with each use; seconds since the epoch unless the clock was set back.
        touched_s: when the file's time of modification was set.
    """

    entry_id: str
    kind: Kind
    form: str
    role: Role
    profile: str
    is_pinned: bool
    is_anchor: bool
    tokens: bytes
    n_tokens: int
    start: int
    window_start: int
    n_bytes: int
    n_extra_bytes: int
    created_s: float
    last_used_s: float
    touched_s: float

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return file_name(self.entry_id, is_pinned=self.is_pinned)

    @property
    def needs_rows(self) -> bool:
        """Whether it is of no use without the rows of its tokens."""
        return self.kind == "state" and self.start > 0

    def unpin(self) -> None:
        """Make it an ordinary one."""
        self.is_pinned = self.is_anchor = False
        self.profile = ""
        self.role = "boundary" if self.role == "profile" else self.role


def entry_of(metadata: EntryMetadata, *, is_pinned: bool, used_s: float) -> Entry:
    """Return the entry that a file holds."""
    header = metadata.header
    entry = Entry(
        entry_id=metadata_id(metadata),
        kind=header.kind,
        form=header.form,
        role=header.role,
        profile=header.profile,
        is_pinned=is_pinned,
        is_anchor=bool(is_pinned and header.profile),
        tokens=metadata.tokens,
        n_tokens=header.n_tokens,
        start=header.start,
        window_start=header.window_start,
        n_bytes=metadata.n_bytes,
        n_extra_bytes=header.n_extra,
        created_s=header.created_s,
        last_used_s=used_s,
        touched_s=used_s,
    )
    if header.profile and not is_pinned:
        entry.unpin()
    return entry


def metadata_id(metadata: EntryMetadata) -> str:
    """Return the id that the content of a file gives."""
    header = metadata.header
    if header.kind == "block":
        return block_id(metadata.tokens, header.start)
    return id_of(metadata.tokens, header.form)


def id_of(packed: bytes, form: str) -> str:
    """Return the id of the state entry of these tokens."""
    return hashlib.sha256(form.encode() + b"\0" + packed).hexdigest()[:32]


def block_id(packed: bytes, start: int) -> str:
    """Return the id of the block that holds the last of these tokens, from `start` on."""
    n_tokens = len(packed) // TOKEN_BYTES
    return hashlib.sha256(f"\0block {start} {n_tokens}\0".encode() + packed).hexdigest()[:32]
