"""Owns reading and writing an entry's file; must not know which entries are worth keeping.

The format stands in `entry_header`. Every length is checked against the size of the file before
memory is taken for it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ELOOP
from io import FileIO
from pathlib import Path

from app.promptcache.entry_header import (
    LENGTH,
    MAGIC,
    MAX_HEADER_BYTES,
    PREAMBLE_BYTES,
    BadEntry,
    EntryBody,
    EntryDraft,
    EntryMetadata,
    Header,
    decode_front,
    encode_front,
)
from app.promptcache.files import Files
from app.promptcache.snapshot import Bytes
from app.promptcache.token_bytes import decompress, decompress_tokens

PIECE_BYTES = 256 * 1024
MAX_FILE_BYTES = 1 << 62


def read_metadata(
    path: Path, fingerprint: str, files: Files, most_bytes: int = MAX_FILE_BYTES
) -> EntryMetadata:
    """Read and check an entry up to its body.

    Args:
        most_bytes: a larger file is refused.

    Raises:
        BadEntry: it is damaged, foreign or no entry at all.
        OSError: it cannot be read.
    """
    with _opened(path, files) as file:
        return _metadata(file, fingerprint, most_bytes)


def read_entry(
    path: Path,
    fingerprint: str,
    files: Files,
    most_bytes: int = MAX_FILE_BYTES,
    *,
    with_window: bool = True,
) -> tuple[EntryMetadata, EntryBody]:
    """Read and check all of an entry.

    Args:
        most_bytes: a larger file is refused, before memory is taken for it.
        with_window: whether window rows are wanted; they are passed over else.

    Raises:
        BadEntry: it is damaged, foreign or no entry at all.
        OSError: it cannot be read.
        MemoryError: the body is larger than the memory that is left.
    """
    with _opened(path, files) as file:
        metadata = _metadata(file, fingerprint, most_bytes)
        return metadata, _body(file, metadata.header, with_window=with_window)


@contextmanager
def _opened(path: Path, files: Files) -> Iterator[FileIO]:
    try:
        descriptor = files.open_to_read(path)
    except OSError as error:
        if error.errno == ELOOP:
            raise BadEntry("not a regular file") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadEntry("not a regular file")
        with FileIO(descriptor, "r", closefd=False) as file:
            yield file
    finally:
        files.close(descriptor)


def _metadata(file: FileIO, fingerprint: str, most_bytes: int) -> EntryMetadata:
    size = os.fstat(file.fileno()).st_size
    if size > most_bytes:
        raise BadEntry("too large")
    header, n_front_bytes = _header(file, size)
    if header.fingerprint != fingerprint:
        raise BadEntry("foreign fingerprint")
    expected = n_front_bytes + header.n_body_bytes
    if size != expected:
        raise BadEntry("truncated" if size < expected else "too long")
    tokens = _exactly(file, header.n_tokens_bytes)
    extra = _exactly(file, header.n_extra_bytes)
    if hashlib.sha256(tokens).digest() != header.tokens_sha256:
        raise BadEntry("checksum of tokens")
    if hashlib.sha256(extra).digest() != header.extra_sha256:
        raise BadEntry("checksum of extra")
    try:
        tokens = decompress_tokens(tokens, header.n_tokens)
        extra = decompress(extra, header.n_extra)
    except ValueError:
        raise BadEntry("broken tokens or extra") from None
    return EntryMetadata(header, tokens, extra, size)


def _header(file: FileIO, size: int) -> tuple[Header, int]:
    preamble = _exactly(file, PREAMBLE_BYTES)
    if preamble[: len(MAGIC)] != MAGIC:
        raise BadEntry("wrong magic")
    (n_header_bytes,) = LENGTH.unpack_from(preamble, len(MAGIC))
    if n_header_bytes > MAX_HEADER_BYTES:
        raise BadEntry("header too long")
    n_front_bytes = PREAMBLE_BYTES + n_header_bytes + LENGTH.size
    if size < n_front_bytes:
        raise BadEntry("truncated")
    packed = _exactly(file, n_header_bytes)
    return decode_front(preamble, packed, _exactly(file, LENGTH.size)), n_front_bytes


def _body(file: FileIO, header: Header, *, with_window: bool) -> EntryBody:
    rows = _part(file, header.n_rows_bytes, header.rows_sha256, "rows")
    window_rows: Bytes = b""
    if with_window:
        window_rows = _part(file, header.n_window_bytes, header.window_sha256, "window rows")
    else:
        file.seek(header.n_window_bytes, os.SEEK_CUR)
    state = _part(file, header.n_state_bytes, header.state_sha256, "state")
    return EntryBody(rows, window_rows, state)


def _part(file: FileIO, n_bytes: int, sha256: bytes, name: str) -> bytearray:
    part = bytearray(n_bytes)
    digest = hashlib.sha256()
    for piece in _pieces(part):
        _fill(file, piece)
        digest.update(piece)
    if digest.digest() != sha256:
        raise BadEntry(f"checksum of {name}")
    return part


def _exactly(file: FileIO, n_bytes: int) -> bytes:
    buffer = bytearray(n_bytes)
    _fill(file, memoryview(buffer))
    return bytes(buffer)


def _fill(file: FileIO, target: memoryview) -> None:
    while target:
        n_read = file.readinto(target)
        if not n_read:
            raise BadEntry("truncated")
        target = target[n_read:]


def write_temporary(
    path: Path, draft: EntryDraft, files: Files, on_piece: Callable[[int], None]
) -> None:
    """Write an entry under a temporary name, which is removed again when anything goes wrong.

    Args:
        path: where to.
        draft: what to write.
        files: the system calls.
        on_piece: called after each piece of work with the number of bytes written in it.

    Raises:
        OSError: as the system gives it.
    """
    front = encode_front(draft.header([_sum(part, on_piece) for part in draft.body.parts]))
    descriptor = files.create(path)
    try:
        try:
            for part in (
                front + draft.compressed_tokens + draft.compressed_extra,
                *draft.body.parts,
            ):
                for piece in _pieces(part):
                    files.write(descriptor, piece)
                    on_piece(len(piece))
            files.sync(descriptor)
        finally:
            files.close(descriptor)
    except BaseException:
        files.try_remove(path)
        raise


def _sum(part: Bytes, on_piece: Callable[[int], None]) -> bytes:
    digest = hashlib.sha256()
    for piece in _pieces(part):
        digest.update(piece)
        on_piece(0)
    return digest.digest()


def _pieces(part: Bytes) -> Iterator[memoryview]:
    view = memoryview(part).cast("B")
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]
