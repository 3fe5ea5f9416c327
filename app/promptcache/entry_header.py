"""Owns the header of an entry's file and the faults a file can have; does no I/O.

All numbers are little-endian:

    magic 8 bytes | u32 length of header | header (msgpack) | u32 CRC-32 of all before
    | tokens | extra | rows | window rows | state

The CRC guards the header, and SHA-256 sums in the header guard the five parts as the file has
them, so no bit can change unseen. A block has rows and no state, a state entry has a state and no
rows. Tokens and extra are compressed.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import msgspec

from app.promptcache.page_index import PAGE_TOKENS
from app.promptcache.snapshot import Bytes
from app.promptcache.token_bytes import (
    TOKEN_BYTES,
    compress,
    compress_tokens,
    is_compressed_size,
)

VERSION = 3
MAX_HEADER_BYTES = 64 * 1024
MAX_EXTRA_BYTES = 4 * 1024 * 1024
MAX_TOKENS = 4 * 1024 * 1024

MAGIC = b"\x89DLLMKV\n"
LENGTH = struct.Struct("<I")
PREAMBLE_BYTES = len(MAGIC) + LENGTH.size

Kind = Literal["block", "state"]
Role = Literal["boundary", "turn", "profile"]

_NO_SUM = bytes(hashlib.sha256().digest_size)
_NTokens = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
_NExtra = Annotated[int, msgspec.Meta(ge=0, le=MAX_EXTRA_BYTES)]
_Position = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
_NBodyBytes = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Sum = Annotated[bytes, msgspec.Meta(min_length=len(_NO_SUM), max_length=len(_NO_SUM))]


class BadEntry(Exception):
    """A file cannot be used as an entry.

    Args:
        reason: a few words that are the same for all files with this fault.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry says of itself.

    Args:
        kind: a block of rows, or a state.
        fingerprint: names the model, its context parameters and the llama.cpp build.
        form: what kind of state it is; "" is that of one sequence.
        role: what the tokens are: the end of a common beginning, of a turn, or a profile.
        profile: name of the profile it was pinned for; "" for none.
        created_s: seconds since the epoch.
        n_tokens: up to the end of the entry, from position 0.
        start: position from which on it holds all: of the first row; of a state 0 where it needs
            no rows, and `n_tokens` where it needs those of all its tokens.
        window_start: position of the first window row; `n_tokens` for none.
        n_tokens_bytes: size that the tokens have in the file.
        n_extra: size of the extra; `n_extra_bytes` is the size that it has in the file.
    """

    version: int
    kind: Kind
    fingerprint: str
    form: str
    role: Role
    profile: str
    created_s: float
    n_tokens: _NTokens
    start: _Position
    window_start: _Position
    n_tokens_bytes: _NBodyBytes
    n_extra: _NExtra
    n_extra_bytes: _NBodyBytes
    n_rows_bytes: _NBodyBytes
    n_window_bytes: _NBodyBytes
    n_state_bytes: _NBodyBytes
    tokens_sha256: _Sum
    extra_sha256: _Sum
    rows_sha256: _Sum
    window_sha256: _Sum
    state_sha256: _Sum

    @property
    def n_body_bytes(self) -> int:
        """Bytes after the header."""
        n_front_bytes = self.n_tokens_bytes + self.n_extra_bytes
        return n_front_bytes + self.n_rows_bytes + self.n_window_bytes + self.n_state_bytes

    @property
    def is_consistent(self) -> bool:
        """Whether the positions and sizes fit together."""
        has_tokens = is_compressed_size(self.n_tokens_bytes, self.n_tokens * TOKEN_BYTES)
        if not has_tokens or not is_compressed_size(self.n_extra_bytes, self.n_extra):
            return False
        if self.kind == "state":
            has_rows = self.n_rows_bytes or self.n_window_bytes
            return self.start in (0, self.n_tokens) and not has_rows
        fits = self.start % PAGE_TOKENS == 0 and not self.n_state_bytes
        rows = _are_rows(self.n_rows_bytes, self.n_tokens - self.start)
        window = _are_rows(self.n_window_bytes, self.n_tokens - self.window_start)
        return fits and self.start < self.n_tokens and rows and window

    def has_rows_of(self, row_bytes: tuple[int, int] | None) -> bool:
        """Whether rows and window rows have these sizes; None: any, a state has none."""
        if row_bytes is None or self.kind == "state":
            return True
        n_rows, n_window_rows = self.n_tokens - self.start, self.n_tokens - self.window_start
        expected = (n_rows * row_bytes[0], n_window_rows * row_bytes[1])
        return expected == (self.n_rows_bytes, self.n_window_bytes)


def _are_rows(n_bytes: int, n_rows: int) -> bool:
    return n_bytes % n_rows == 0 if n_rows > 0 else n_rows == n_bytes == 0


class _Versioned(msgspec.Struct):
    version: int


@dataclass(frozen=True, slots=True)
class EntryMetadata:
    """An entry without its body.

    Args:
        header: checked.
        tokens: packed, all from position 0.
        extra: what the caller gave along.
        n_bytes: size of the whole file.
    """

    header: Header
    tokens: bytes
    extra: bytes
    n_bytes: int


@dataclass(frozen=True, slots=True)
class EntryBody:
    """The opaque bytes of an entry; parts that it does not have are empty."""

    rows: Bytes = b""
    window_rows: Bytes = b""
    state: Bytes = b""

    @property
    def parts(self) -> tuple[Bytes, Bytes, Bytes]:
        """In the order of the file."""
        return self.rows, self.window_rows, self.state


@dataclass(frozen=True, kw_only=True)
class EntryDraft:
    """An entry to be written; see `Header`.

    Args:
        tokens: packed, all from position 0.
        extra: opaque bytes, no more than `MAX_EXTRA_BYTES`.
    """

    kind: Kind = "state"
    tokens: bytes
    start: int = 0
    window_start: int | None = None
    body: EntryBody
    extra: bytes
    fingerprint: str
    form: str
    role: Role
    profile: str
    created_s: float

    @cached_property
    def compressed_tokens(self) -> bytes:
        """The tokens as the file has them."""
        return compress_tokens(self.tokens)

    @cached_property
    def compressed_extra(self) -> bytes:
        """The extra as the file has it."""
        return compress(self.extra)

    def header(self, sums: Sequence[bytes] = (_NO_SUM, _NO_SUM, _NO_SUM)) -> Header:
        """Return the header.

        Args:
            sums: of the parts of the body.
        """
        n_tokens = len(self.tokens) // TOKEN_BYTES
        n_rows_bytes, n_window_bytes, n_state_bytes = map(n_bytes_of, self.body.parts)
        rows_sha256, window_sha256, state_sha256 = sums
        return Header(
            version=VERSION,
            kind=self.kind,
            fingerprint=self.fingerprint,
            form=self.form,
            role=self.role,
            profile=self.profile,
            created_s=self.created_s,
            n_tokens=n_tokens,
            start=self.start,
            window_start=n_tokens if self.window_start is None else self.window_start,
            n_tokens_bytes=len(self.compressed_tokens),
            n_extra=len(self.extra),
            n_extra_bytes=len(self.compressed_extra),
            n_rows_bytes=n_rows_bytes,
            n_window_bytes=n_window_bytes,
            n_state_bytes=n_state_bytes,
            tokens_sha256=hashlib.sha256(self.compressed_tokens).digest(),
            extra_sha256=hashlib.sha256(self.compressed_extra).digest(),
            rows_sha256=rows_sha256,
            window_sha256=window_sha256,
            state_sha256=state_sha256,
        )

    def n_bytes(self) -> int:
        """Return the size that the file will have.

        Raises:
            ValueError: a part is larger than the format allows.
        """
        header = self.header()
        n_front_bytes = len(encode_front(header))
        fits = 1 <= header.n_tokens <= MAX_TOKENS and header.n_extra <= MAX_EXTRA_BYTES
        if not fits or n_front_bytes > MAX_HEADER_BYTES:
            raise ValueError("too many tokens, too much extra or too long a name for one entry")
        if not header.is_consistent:
            raise ValueError("the rows do not fit the positions")
        return n_front_bytes + header.n_body_bytes


def n_bytes_of(part: Bytes) -> int:
    """Return the size of a part."""
    return memoryview(part).nbytes


def encode_front(header: Header) -> bytes:
    """Return all that comes before the tokens."""
    packed = msgspec.msgpack.encode(header)
    front = MAGIC + LENGTH.pack(len(packed)) + packed
    return front + LENGTH.pack(zlib.crc32(front))


def decode_front(preamble: bytes, packed: bytes, crc: bytes) -> Header:
    """Check and decode what comes before the tokens.

    Raises:
        BadEntry: a bit has changed, or it is of another version.
    """
    if LENGTH.pack(zlib.crc32(preamble + packed)) != crc:
        raise BadEntry("checksum of header")
    try:
        version = msgspec.msgpack.decode(packed, type=_Versioned).version
        if version != VERSION:
            raise BadEntry("in an older format" if 0 < version < VERSION else "wrong version")
        header = msgspec.msgpack.decode(packed, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadEntry("broken header") from None
    if not header.is_consistent:
        raise BadEntry("broken header")
    return header
