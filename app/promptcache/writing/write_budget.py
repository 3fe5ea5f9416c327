"""Owns the count of bytes written a day, for all models: flash memory wears with every write."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

_FILE_NAME = "writes.json"
_LOCK_NAME = ".writes.lock"
_MAX_FILE_BYTES = 4096


class _Day(msgspec.Struct, frozen=True):
    date: str = ""
    written_bytes: int = 0


class WriteBudget:
    """The count of today (UTC), kept in a file that all processes share.

    A file that is missing, broken or of another day counts as nothing written. Where it cannot
    be written, this process still knows what it wrote itself.

    Args:
        root: folder of the file.
        daily_bytes: what may be written a day; 0 is no limit.
        clock: seconds since the epoch.
    """

    def __init__(self, root: Path, daily_bytes: int, clock: Callable[[], float]) -> None:
        self._root = root
        self._daily_bytes = daily_bytes
        self._clock = clock
        self._known = _Day()

    @property
    def written_today(self) -> int:
        """Bytes written since midnight, UTC."""
        return max(self._of_today(day) for day in (self._known, self._read()))

    def allows(self, n_bytes: int) -> bool:
        """Whether so much more may be written today."""
        return self._daily_bytes == 0 or self.written_today + n_bytes <= self._daily_bytes

    def spend(self, n_bytes: int) -> None:
        """Note that so much was written."""
        if n_bytes <= 0:
            return
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                stack.enter_context(self._locked())
            self._known = _Day(self._today(), self.written_today + n_bytes)
            with contextlib.suppress(OSError):
                self._write()

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).date().isoformat()

    def _of_today(self, day: _Day) -> int:
        return max(0, day.written_bytes) if day.date == self._today() else 0

    def _read(self) -> _Day:
        try:
            descriptor = os.open(self._root / _FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                content = os.read(descriptor, _MAX_FILE_BYTES)
            finally:
                os.close(descriptor)
            return msgspec.json.decode(content, type=_Day)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return _Day()

    def _write(self) -> None:
        temporary = self._root / f"{_FILE_NAME}.tmp"
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(self._known))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._root / _FILE_NAME)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._root / _LOCK_NAME, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
