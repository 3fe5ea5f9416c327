"""Owns what a store tells others."""

from __future__ import annotations

from dataclasses import dataclass

from app.promptcache.entry_header import Role


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that shares a prefix with a prompt.

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
class Snapshot:
    """What an entry holds: the tokens, the state of them and what was given along."""

    tokens: list[int]
    state: bytearray
    extra: bytes


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """An entry, for people to look at; times in seconds since the epoch.

    Args:
        profile: what it is pinned for; "" where it may be evicted.
    """

    entry_id: str
    role: Role
    profile: str
    n_tokens: int
    n_bytes: int
    created_s: float
    last_used_s: float


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """The state of a store.

    Args:
        n_entries: entries of this model.
        n_bytes: size of their files.
        capacity_bytes: what the entries of all models may take.
        n_hits: entries read since the start.
        n_bad: files found damaged or foreign, and removed, since the start.
        n_evicted: entries evicted since the start, other models' included.
        written_today_bytes: by all models, since midnight UTC.
        daily_write_bytes: what may be written a day; 0 is no limit.
        trouble: why nothing can be written, "" when all is well.
    """

    n_entries: int
    n_bytes: int
    capacity_bytes: int
    n_hits: int
    n_bad: int
    n_evicted: int
    written_today_bytes: int
    daily_write_bytes: int
    trouble: str
