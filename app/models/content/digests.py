"""Owns the SHA-256 digests of model files: computed once, in the background, and kept on disk.

A request never waits for one. It must not know HTTP or what a digest is used for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from app.logs import get_logger

FILE_NAME = "model-digests.json"

_BLOCK_BYTES = 4 * 1024**2
_BYTES_PER_S = 64 * 1024**2
_BUSY_POLL_S = 1.0
_MAX_KEPT = 512
_MAX_FILE_BYTES = 1024**2
_NICENESS = 19
_END_S = 2.0  # a disk may hang

log = get_logger("digests")


class FileDigests:
    """The digests of files, by size, modification time and inode.

    A file that is renamed or gets another name keeps its digest. Thread-safe.

    Args:
        folder: where they are kept; None keeps them in memory only.
        is_busy: says whether the device has more urgent work; hashing pauses meanwhile.
    """

    def __init__(
        self, folder: Path | None = None, is_busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._folder = folder
        self.is_busy = is_busy
        self._lock = threading.Lock()
        self._known: dict[str, str] | None = None
        self._wanted: dict[str, list[Path]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def find(self, paths: Sequence[Path]) -> str | None:
        """Return the digest of a file, or of all parts of a split one; None until it is known.

        One that is not known is computed from now on.
        """
        try:
            key = _key(paths)
        except OSError:
            return None
        with self._lock:
            if found := self._kept().get(key):
                return found
            if not self._closed.is_set():
                self._wanted.setdefault(key, list(paths))
                self._start()
        return None

    def learn(self, path: Path, digest: str) -> None:
        """Keep the digest of a file that was computed while it was written."""
        with contextlib.suppress(OSError):
            self._keep(_key([path]), digest)

    def knows(self, path: Path, digest: str) -> bool:
        """Return whether a file is known to have this digest."""
        with self._lock, contextlib.suppress(OSError):
            return self._kept().get(_key([path])) == digest
        return False

    def close(self) -> None:
        """End the work; what was not finished is computed at the next start."""
        self._closed.set()
        if thread := self._thread:  # it may end meanwhile
            thread.join(_END_S)

    # ------------------------------------------------------------ background

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="digests", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._closed.is_set():
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                key, paths = next(iter(self._wanted.items()))
            self._compute(key, paths)
            with self._lock:
                self._wanted.pop(key, None)

    def _compute(self, key: str, paths: Sequence[Path]) -> None:
        try:
            if _key(paths) != key:  # it is still being copied; its next request is for what it is
                return
            digest = hashlib.sha256()
            for path in paths:
                if not self._hash(path, digest):
                    return
            if _key(paths) == key:  # else it changed meanwhile
                self._keep(key, digest.hexdigest())
        except OSError as error:
            log.warning("digest_failed", path=str(paths[0]), error=error.strerror)

    def _hash(self, path: Path, digest: hashlib._Hash) -> bool:
        """Add a file to a digest, at a bounded rate; return False if the work was ended."""
        with path.open("rb", buffering=0) as file:
            position = 0
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                # What others have not mapped leaves the page cache again.
                with contextlib.suppress(OSError):
                    os.posix_fadvise(file.fileno(), position, len(block), os.POSIX_FADV_DONTNEED)
                position += len(block)
                if self._closed.wait(len(block) / _BYTES_PER_S):
                    return False
                while self.is_busy():
                    if self._closed.wait(_BUSY_POLL_S):
                        return False
        return True

    # ------------------------------------------------------------ what is kept

    def _kept(self) -> dict[str, str]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[str, str]:
        if self._folder is None:
            return {}
        try:
            with (self._folder / FILE_NAME).open("rb") as file:
                found = msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            return {}
        return {key: digest for key, digest in found.items() if is_digest(digest)}

    def _keep(self, key: str, digest: str) -> None:
        with self._lock:
            known = self._kept()
            known.pop(key, None)
            known[key] = digest
            for oldest in list(known)[:-_MAX_KEPT]:
                del known[oldest]
            data = msgspec.json.encode(known)
        if self._folder is not None:
            try:
                _write(self._folder / FILE_NAME, data)
            except OSError as error:
                log.info("digests_not_kept", folder=str(self._folder), error=error.strerror)


def is_digest(text: str) -> bool:
    """Return whether a text is a SHA-256 digest in lower-case hexadecimal digits."""
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)


def _key(paths: Sequence[Path]) -> str:
    stats = (path.stat() for path in paths)
    return "+".join(f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}" for stat in stats)


def _write(path: Path, data: bytes) -> None:
    """Write a file, at once or not at all; it may be lost in a power cut, but not damaged."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
