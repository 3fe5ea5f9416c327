"""Owns systemd's native journal protocol: encoding records and sending them to the socket.

It must not know what is logged. Protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")

_LENGTH_BYTES = 8
_MAX_NAME_CHARS = 64
_INVALID_CHARS = re.compile(r"[^A-Z0-9_]")
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_SEND_WAIT_S = 0.2
_RETRY_S = 5.0


def field_name(name: str) -> str:
    """Return a valid field name: A-Z, 0-9 and _, at most 64, starting with a letter."""
    allowed = _INVALID_CHARS.sub("_", name.upper()).lstrip("_0123456789")
    return allowed[:_MAX_NAME_CHARS] or "FIELD"


def encode(fields: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Return a record in the journal's native form.

    A value with a line break goes in its binary form: the name, a line break, the length as 64
    bits (little-endian), the value. A name may occur several times; each value counts then.

    Args:
        fields: names as `field_name` makes them, and values.
    """
    record = bytearray()
    for name, value in fields:
        data = value.encode("utf-8", "backslashreplace") if isinstance(value, str) else value
        record += name.encode("ascii")
        if b"\n" in data:
            record += b"\n" + len(data).to_bytes(_LENGTH_BYTES, "little")
        else:
            record += b"="
        record += data + b"\n"
    return bytes(record)


def is_stderr(environment: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether a descriptor is the stream to the journal that systemd set up for this process.

    Args:
        environment: where JOURNAL_STREAM holds the stream's device and inode.
    """
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class JournalSocket:
    """Sends records to the journal; the caller handles those that cannot be sent.

    Args:
        path: the journal's datagram socket.
        retry_s: seconds after a failure in which it does not retry.
    """

    def __init__(self, path: Path = SOCKET, *, retry_s: float = _RETRY_S) -> None:
        self._path = path
        self._retry_s = retry_s
        self._socket: socket.socket | None = None
        self._retry_at_s = 0.0
        self._lock = threading.Lock()

    def send(self, record: bytes) -> bool:
        """Send a record; blocks for at most 0.2 s and never raises.

        Returns:
            Whether it was sent.
        """
        with self._lock:
            if time.monotonic() < self._retry_at_s:
                return False
            try:
                self._send(record)
            except OSError:
                self._close()
                self._retry_at_s = time.monotonic() + self._retry_s
                return False
            return True

    def _send(self, record: bytes) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(_SEND_WAIT_S)
        try:
            self._socket.sendto(record, str(self._path))
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            with _sealed(record) as memory:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", memory))]
                self._socket.sendmsg([], rights, 0, str(self._path))

    def close(self) -> None:
        """Close the socket; the next record reopens it."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@contextlib.contextmanager
def _sealed(record: bytes) -> Iterator[int]:
    """Yield a sealed memfd that contains the record."""
    descriptor = os.memfd_create("journal-record", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(record)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield descriptor
    finally:
        os.close(descriptor)
