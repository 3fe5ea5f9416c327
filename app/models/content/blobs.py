"""Owns uploaded files until they become models: hidden in the models folder, named by digest.

What is in a blob is not looked at here. It must not know HTTP.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from app.models.content.digests import is_digest
from app.models.store import FolderUnwritable, ModelRefused, check_free_space, sync_folder

_FOLDER = ".blobs"
_PREFIX = "sha256-"
_PART = ".part"
_MODE = 0o644
_UNUSED_S = 24 * 3600.0


class WrongDigest(ModelRefused):
    """An upload has another digest than the one that names it."""


class BlobStore:
    """The uploads of one models folder.

    Args:
        models_dir: the models folder; uploads stand in a hidden folder in it, so that one becomes
            a model without being copied.
    """

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir
        self._folder = models_dir / _FOLDER

    def find(self, digest: str) -> Path | None:
        """Return the file of an upload, if it is here.

        Args:
            digest: 64 hexadecimal digits.
        """
        path = self._path(digest)
        return path if path.is_file() and not path.is_symlink() else None

    def has(self, path: Path) -> bool:
        """Return whether a file is an upload."""
        return path.parent == self._folder

    def receive(self, digest: str, size_bytes: int | None) -> Upload:
        """Begin to receive a file; uploads that nobody has used for a day are removed first.

        Args:
            size_bytes: what the client says; None if it does not.

        Raises:
            NoSpace: there is none for it.
            FolderUnwritable: the models folder cannot be written.
        """
        path = self._path(digest)
        try:
            if not self.models_dir.is_dir():
                raise FolderUnwritable(f"the models folder {self.models_dir} does not exist")
            self._folder.mkdir(mode=0o755, exist_ok=True)
            self._remove_unused()
            check_free_space(self._folder, size_bytes or 0)
            return Upload(path, digest)
        except OSError as error:
            raise FolderUnwritable(
                f"the models folder {self.models_dir} cannot be written: {error.strerror}"
            ) from error

    def remove(self, digest: str) -> None:
        """Remove an upload that has become a model, and what it stood in if that is empty."""
        with contextlib.suppress(OSError):
            self._path(digest).unlink()
        with contextlib.suppress(OSError):
            self._folder.rmdir()  # if it is empty

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise ValueError(digest)
        return self._folder / f"{_PREFIX}{digest}"

    def _remove_unused(self) -> None:
        for path in self._files():
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > _UNUSED_S:
                    path.unlink()

    def _files(self) -> Iterator[Path]:
        for path in self._folder.iterdir():
            if path.name.startswith(_PREFIX):
                yield path


class Upload:
    """A file that is being received; a context manager that removes what was not finished.

    Args:
        path: its name once it is complete.
        digest: the one that it has to have.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self._path = path
        self._digest = digest
        self._hash = hashlib.sha256()
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PART}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._part, flags, 0o600)
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was not finished; waits for a thread that still writes."""
        with self._lock:  # a thread may still be writing for a client that is gone
            if self._is_closed:
                return
            self._is_closed = True
            os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Add data.

        Raises:
            NoSpace: there is none left for it.
            FolderUnwritable: it cannot be written.
        """
        check_free_space(self._path.parent, len(data))
        self._hash.update(data)
        try:
            with self._lock:
                view = memoryview(data)
                while view and not self._is_closed:
                    view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self) -> Path:
        """Give the complete file its name and return it.

        Raises:
            WrongDigest: it has another digest.
            FolderUnwritable: it cannot be written.
        """
        found = self._hash.hexdigest()
        if found != self._digest:
            raise WrongDigest(
                f"digest mismatch, expected sha256:{self._digest}, got sha256:{found}"
            )
        try:
            with self._lock:
                if self._is_closed:
                    raise FolderUnwritable("the upload was given up")
                os.fchmod(self._descriptor, _MODE)
                os.fsync(self._descriptor)
                self._part.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise self._unwritable(error) from error
        return self._path

    def _unwritable(self, error: OSError) -> FolderUnwritable:
        return FolderUnwritable(f"{self._path.parent} cannot be written: {error.strerror}")
