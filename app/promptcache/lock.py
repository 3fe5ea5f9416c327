"""Owns the claim of one service on a cache's root."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

_LOCK_NAME = ".lock"


class FolderInUse(RuntimeError):
    """Another process holds the root.

    Args:
        root: the folder.
        pid: the other process, 0 where it is not known.
    """

    def __init__(self, root: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"The prompt cache in {root} is in use by {who}.")
        self.pid = pid


class FolderLock:
    """A lock on `<root>/.lock`, given back at the latest when the process ends.

    Args:
        root: made where it is not there yet.

    Raises:
        FolderInUse: another process, or another lock of this one, holds it.
        OSError: the folder cannot be made, or the file in it.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(root / _LOCK_NAME, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = self._holder()
            self.release()
            raise FolderInUse(root, pid) from None
        except OSError:
            self.release()
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def _holder(self) -> int:
        with contextlib.suppress(ValueError):
            return int(os.pread(self._descriptor, 20, 0))
        return 0

    def release(self) -> None:
        """Give the lock back; the file stays, so that no two processes lock different files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
