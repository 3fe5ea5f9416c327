"""Owns what is known in memory of one model's entries; must know no files and no locks."""

from __future__ import annotations

from app.promptcache.entries.entry import PIN_FORM, Entry, block_id, entry_of, id_of, metadata_id
from app.promptcache.entries.table import EntryTable

__all__ = ["PIN_FORM", "Entry", "EntryTable", "block_id", "entry_of", "id_of", "metadata_id"]
