"""Owns the prompt cache's folder: its lock, and the parameters that engines get."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec

from app.logs import get_logger
from app.promptcache import folders
from app.promptcache.lock import FolderInUse, FolderLock
from app.protocol import CacheParams

log = get_logger("cache")


class CacheFolder:
    """The root folder of all models' cached prompts.

    Args:
        root: the folder.
        wanted: what the settings say of the disk tier; no capacity is no disk tier.
    """

    def __init__(self, root: Path, wanted: CacheParams) -> None:
        self.root = root
        self._wanted = wanted
        self._lock: FolderLock | None = None
        self._mutex = asyncio.Lock()
        self.params = wanted

    async def claim(self) -> CacheParams:
        """Lock the folder for this service and return the parameters for the next engine."""
        if self._wanted.folder:
            async with self._mutex:
                refused = await asyncio.to_thread(self._refusal)
            if refused and refused != self.params.refused:
                log.warning("cache_folder_refused", folder=str(self.root), error=refused)
            self.params = (
                msgspec.structs.replace(self._wanted, folder="", refused=refused)
                if refused
                else self._wanted
            )
        return self.params

    def release(self) -> None:
        """Unlock the folder; no engine may use it any more."""
        if self._lock:
            self._lock.release()
            self._lock = None

    async def usage(self) -> dict[str, tuple[int, int]]:
        """Return the entries and bytes of each model's folder, by name."""
        return await asyncio.to_thread(folders.usage, self.root)

    async def clear(self, names: Iterable[str]) -> tuple[int, int]:
        """Clear the folders of models that no engine serves; return entries and bytes removed.

        Raises:
            FolderInUse: another service has locked the root.
            OSError: it cannot be read.
        """
        async with self._mutex:
            return await asyncio.to_thread(self._clear, list(names))

    def _refusal(self) -> str:
        try:
            self._lock = self._lock or FolderLock(self.root)
        except FolderInUse as error:
            return str(error)
        except OSError as error:
            return f"The prompt cache in {self.root} cannot be used: {error.strerror}."
        return ""

    def _clear(self, names: list[str]) -> tuple[int, int]:
        if not names:
            return 0, 0
        temporary = None if self._lock else FolderLock(self.root)
        try:
            counts = [folders.clear_folder(self.root, name) for name in names]
        finally:
            if temporary:
                temporary.release()
        return sum(entries for entries, _ in counts), sum(size for _, size in counts)
