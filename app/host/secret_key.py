"""Owns the service's secret key: a file that is made at its first use and that only we can read."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from app.logs import get_logger

FILE_NAME = "secret.key"
_N_BYTES = 32

log = get_logger("host")


class SecretKey:
    """The key, for which nothing is read or written before its first use.

    Where the file cannot be kept, the key lasts as long as the process. A file of the wrong size is
    replaced.

    Args:
        folder: where the file is; None keeps the key in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._key = b""

    def of(self, purpose: str) -> bytes:
        """Return the key of one purpose, from which no other one's can be told."""
        if not self._key:
            self._key = _kept(self._folder) if self._folder else secrets.token_bytes(_N_BYTES)
        return hmac.digest(self._key, purpose.encode(), hashlib.sha256)


def _kept(folder: Path) -> bytes:
    path = folder / FILE_NAME
    try:
        return _read(path) or _made(path)
    except OSError as error:
        log.warning("secret_key_not_kept", file=str(path), error=str(error))
        return secrets.token_bytes(_N_BYTES)


def _read(path: Path) -> bytes:
    """Return the key in a file; empty where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        key = file.read(_N_BYTES + 1)
    return key if len(key) == _N_BYTES else b""


def _made(path: Path) -> bytes:
    """Return a new key once it is on the disk, or the one that another service was quicker with."""
    key = secrets.token_bytes(_N_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(new)
        except FileExistsError:
            if other := _read(path):
                return other
            new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return key
