"""Owns the shape of what the store says of its entries, and of their content; does nothing."""

from __future__ import annotations

from dataclasses import dataclass

from app.promptcache.entry_header import Role
from app.promptcache.snapshot import Bytes


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """A state entry that shares a prefix with a prompt.

    Args:
        entry_id: names it for `DiskStore.read`.
        n_shared: leading tokens of the prompt that it holds.
        n_tokens: all tokens it holds.
        n_bytes: size of its file.
    """

    entry_id: str
    n_shared: int
    n_tokens: int
    n_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class EntryContent:
    """The tokens, state and extra of a state entry."""

    tokens: list[int]
    state: Bytes
    extra: bytes


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """What is known of a block without reading it.

    Args:
        start: position of its first row.
        end: position after its last one.
        window_start: position of its first window row; `end` for none.
        n_bytes: size of its file.
        role: what its tokens were written for.
        profile: a profile that it is pinned for; "" for none.
    """

    start: int
    end: int
    window_start: int
    n_bytes: int
    role: Role
    profile: str


@dataclass(frozen=True, slots=True, eq=False)
class BlockContent:
    """The rows of a block; see `Snapshot`."""

    start: int
    end: int
    rows: Bytes
    window_start: int
    window_rows: Bytes


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """The state of a store.

    Args:
        n_entries: entries of this model: blocks, states and pins.
        n_bytes: size of their files.
        capacity_bytes: what the entries of all models may take.
        n_hits: entries read since the start.
        n_bad: files found damaged or foreign, and removed, since the start.
        n_evicted: entries evicted since the start, other models' included.
        written_today_bytes: by all models, since midnight UTC.
        daily_write_bytes: what may be written a day; 0 is no limit.
        write_error: why nothing can be written, "" when all is well.
        n_blocks: entries that are blocks.
        block_bytes: size of their files.
        n_states: entries that are states.
        state_bytes: size of their files.
    """

    n_entries: int
    n_bytes: int
    capacity_bytes: int
    n_hits: int
    n_bad: int
    n_evicted: int
    written_today_bytes: int
    daily_write_bytes: int
    write_error: str
    n_blocks: int = 0
    block_bytes: int = 0
    n_states: int = 0
    state_bytes: int = 0
