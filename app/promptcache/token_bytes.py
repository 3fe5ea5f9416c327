"""Owns two forms of token lists: packed, which is compared, and stored, which files hold.

Packed are little-endian int32, 4 bytes a token. Stored are the same bytes compressed: first all
lowest bytes, then all second ones and so on, deflated. Where that takes more bytes, or fewer than
`1 / MAX_RATIO`, the stored form is the packed one. So its size says which one it is, and a file
cannot make the reader take much more memory than it has bytes.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Sequence

TOKEN_BYTES = 4
MAX_RATIO = 16
"""A stored form is no shorter than this part of the packed one."""

_FAST = 1


def pack(tokens: Sequence[int]) -> bytes:
    """Return the bytes of a token list.

    Raises:
        OverflowError: a token does not fit 32 bits.
    """
    return _swapped(array("i", tokens)).tobytes()


def unpack(packed: bytes) -> list[int]:
    """Return the token list of its bytes."""
    return _swapped(array("i", packed)).tolist()


def _swapped(tokens: array[int]) -> array[int]:
    if sys.byteorder == "big":
        tokens.byteswap()
    return tokens


def is_stored_size(n_bytes: int, n_tokens: int) -> bool:
    """Whether the stored form of so many tokens can have this size."""
    n_packed_bytes = n_tokens * TOKEN_BYTES
    return n_bytes <= n_packed_bytes <= n_bytes * MAX_RATIO


def to_stored(packed: bytes) -> bytes:
    """Return the stored form of packed tokens."""
    planes = b"".join(packed[place::TOKEN_BYTES] for place in range(TOKEN_BYTES))
    deflated = zlib.compress(planes, _FAST)
    is_shorter = len(deflated) < len(packed)
    fits = is_shorter and is_stored_size(len(deflated), len(packed) // TOKEN_BYTES)
    return deflated if fits else packed


def from_stored(stored: bytes, n_tokens: int) -> bytes:
    """Return the packed form of stored tokens; memory is taken for `n_tokens` at most.

    Raises:
        ValueError: they are not the stored form of so many tokens.
    """
    n_bytes = n_tokens * TOKEN_BYTES
    if not is_stored_size(len(stored), n_tokens):
        raise ValueError(f"{len(stored)} bytes for {n_tokens} tokens")
    if len(stored) == n_bytes:
        return stored
    inflater = zlib.decompressobj()
    try:
        planes = inflater.decompress(stored, n_bytes + 1)  # one more shows what is too long
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(planes) != n_bytes or not inflater.eof or inflater.unused_data:
        raise ValueError(f"the bytes are not those of {n_tokens} tokens")
    packed = bytearray(n_bytes)
    for place in range(TOKEN_BYTES):
        packed[place::TOKEN_BYTES] = planes[place * n_tokens : (place + 1) * n_tokens]
    return bytes(packed)


def n_shared(left: bytes, right: bytes) -> int:
    """Return how many leading tokens two packed lists share."""
    low, high = 0, min(len(left), len(right)) // TOKEN_BYTES
    if left[: high * TOKEN_BYTES] == right[: high * TOKEN_BYTES]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        span = slice(low * TOKEN_BYTES, middle * TOKEN_BYTES)
        if left[span] == right[span]:
            low = middle
        else:
            high = middle - 1
    return low
