"""Owns the system calls on the files of the cache: the seam where tests break the disk.

No call follows a symbolic link in the last part of a path.
"""

from __future__ import annotations

import contextlib
import os
import stat
from errno import ENOTDIR
from pathlib import Path

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not block
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """The calls, each of which raises `OSError` as the system gives it."""

    def make_folder(self, path: Path) -> None:
        """Make a folder for the owner only, where it is not there yet."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise OSError(ENOTDIR, "is a link, not a folder", str(path))

    def open_to_read(self, path: Path) -> int:
        """Return a descriptor to read from."""
        return os.open(path, _READ)

    def create(self, path: Path) -> int:
        """Return a descriptor of a new file."""
        return os.open(path, _CREATE, 0o600)

    def write(self, descriptor: int, piece: memoryview) -> None:
        """Write all of a piece."""
        while piece:
            piece = piece[os.write(descriptor, piece) :]

    def sync(self, descriptor: int) -> None:
        """Wait until a file is on the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in the place of what has that name."""
        old.replace(new)

    def sync_folder(self, path: Path) -> None:
        """Wait until the names in a folder are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def touch(self, path: Path, used_s: float) -> None:
        """Set the time of the last use, which is the time of modification."""
        os.utime(path, (used_s, used_s), follow_symlinks=False)

    def remove(self, path: Path) -> None:
        """Remove a file or a link."""
        path.unlink(missing_ok=True)

    def try_remove(self, path: Path) -> bool:
        """Remove a file if the system lets us; say whether it is gone."""
        with contextlib.suppress(OSError):
            self.remove(path)
            return True
        return False
