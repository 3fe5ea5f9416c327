"""Owns the prompt cache on the disk; must know nothing of llama.cpp, requests or HTTP.

`DiskStore` keeps blocks of attention rows and states for one model, `DiskWriter` fills it beside
the hot path. `PageIndex` and `follow` find blocks by position, on the disk and in memory.
`FolderLock`, `usage` and `clear_folder` are for the process that loads no model.
"""

from __future__ import annotations

from app.promptcache.disk_store import DiskStore
from app.promptcache.entries import PIN_FORM, Entry
from app.promptcache.entry_header import MAX_EXTRA_BYTES, BadEntry, Role
from app.promptcache.folders import clear_folder, folder_name, usage
from app.promptcache.lock import FolderInUse, FolderLock
from app.promptcache.page_index import PAGE_TOKENS, EndIndex, Link, PageIndex, follow
from app.promptcache.records import (
    BlockContent,
    BlockInfo,
    DiskStatus,
    EntryContent,
    PrefixMatch,
)
from app.promptcache.snapshot import Bytes, Snapshot
from app.promptcache.token_bytes import pack, unpack
from app.promptcache.writer import DiskWriter, WriteJob

__all__ = [
    "MAX_EXTRA_BYTES",
    "PAGE_TOKENS",
    "PIN_FORM",
    "BadEntry",
    "BlockContent",
    "BlockInfo",
    "Bytes",
    "DiskStatus",
    "DiskStore",
    "DiskWriter",
    "EndIndex",
    "Entry",
    "EntryContent",
    "FolderInUse",
    "FolderLock",
    "Link",
    "PageIndex",
    "PrefixMatch",
    "Role",
    "Snapshot",
    "WriteJob",
    "clear_folder",
    "folder_name",
    "follow",
    "pack",
    "unpack",
    "usage",
]
