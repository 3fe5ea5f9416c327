"""Owns the header of an entry's file and the faults a file can have; does no I/O.

All numbers are little-endian:

    magic 8 bytes | u32 length of header | header (msgpack) | u32 CRC-32 of all before
    | tokens (int32 each) | extra | state

The CRC guards the header, and SHA-256 sums in the header guard the three parts, so no bit can
change unseen.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from app.promptcache.token_bytes import TOKEN_BYTES

VERSION = 1
MAX_HEADER_BYTES = 64 * 1024
MAX_EXTRA_BYTES = 4 * 1024 * 1024
MAX_TOKENS = 4 * 1024 * 1024

MAGIC = b"\x89DLLMKV\n"
LENGTH = struct.Struct("<I")
PREAMBLE_BYTES = len(MAGIC) + LENGTH.size

Role = Literal["boundary", "turn", "profile"]
Bytes = bytes | bytearray | memoryview

_NO_SUM = bytes(hashlib.sha256().digest_size)
_NTokens = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
_NExtraBytes = Annotated[int, msgspec.Meta(ge=0, le=MAX_EXTRA_BYTES)]
_NStateBytes = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
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
        fingerprint: names the model, its context parameters and the llama.cpp build.
        form: what kind of state it is; "" is that of one sequence.
        role: what the tokens are: the end of a common beginning, of a turn, or a profile.
        profile: name of the profile it was pinned for; "" for none.
        created_s: seconds since the epoch.
    """

    version: int
    fingerprint: str
    form: str
    role: Role
    profile: str
    created_s: float
    n_tokens: _NTokens
    n_extra_bytes: _NExtraBytes
    n_state_bytes: _NStateBytes
    tokens_sha256: _Sum
    extra_sha256: _Sum
    state_sha256: _Sum

    @property
    def n_body_bytes(self) -> int:
        """Bytes after the header."""
        return self.n_tokens * TOKEN_BYTES + self.n_extra_bytes + self.n_state_bytes


class _Versioned(msgspec.Struct):
    version: int


@dataclass(frozen=True, slots=True)
class EntryMetadata:
    """An entry without its state.

    Args:
        header: checked.
        tokens: packed.
        extra: what the caller gave along.
        n_bytes: size of the whole file.
    """

    header: Header
    tokens: bytes
    extra: bytes
    n_bytes: int


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """An entry to be written.

    Args:
        tokens: packed.
        state: opaque bytes.
        extra: opaque bytes, no more than `MAX_EXTRA_BYTES`.
    """

    tokens: bytes
    state: Bytes
    extra: bytes
    fingerprint: str
    form: str
    role: Role
    profile: str
    created_s: float

    def header(self) -> Header:
        """Return the header, yet without the sum of the state."""
        return Header(
            version=VERSION,
            fingerprint=self.fingerprint,
            form=self.form,
            role=self.role,
            profile=self.profile,
            created_s=self.created_s,
            n_tokens=len(self.tokens) // TOKEN_BYTES,
            n_extra_bytes=len(self.extra),
            n_state_bytes=memoryview(self.state).nbytes,
            tokens_sha256=hashlib.sha256(self.tokens).digest(),
            extra_sha256=hashlib.sha256(self.extra).digest(),
            state_sha256=_NO_SUM,
        )

    def n_bytes(self) -> int:
        """Return the size that the file will have.

        Raises:
            ValueError: a part is larger than the format allows.
        """
        header = self.header()
        n_front_bytes = len(encode_front(header))
        fits = 1 <= header.n_tokens <= MAX_TOKENS and header.n_extra_bytes <= MAX_EXTRA_BYTES
        if not fits or n_front_bytes > MAX_HEADER_BYTES:
            raise ValueError("too many tokens, too much extra or too long a name for one entry")
        return n_front_bytes + header.n_body_bytes


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
        if msgspec.msgpack.decode(packed, type=_Versioned).version != VERSION:
            raise BadEntry("wrong version")
        return msgspec.msgpack.decode(packed, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadEntry("broken header") from None
