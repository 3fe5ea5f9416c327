"""Owns the forms of token lists and extras: packed tokens in memory, compressed bytes in files.

Packed tokens are little-endian int32, 4 bytes a token. Bytes are compressed with zlib, and kept as
they are where that makes them longer, or shorter than `1 / MAX_RATIO`. So the size tells which it
is, and no file can make its reader take many times as much memory as it has bytes. Of tokens, all
first bytes come before all second ones and so on, which compresses better.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Sequence

TOKEN_BYTES = 4
MAX_RATIO = 16
"""Bytes are compressed to no less than this part of them."""

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


def is_compressed_size(n_compressed: int, n_bytes: int) -> bool:
    """Whether so many bytes can have this size in a file."""
    return n_compressed <= n_bytes <= n_compressed * MAX_RATIO


def compress(data: bytes) -> bytes:
    """Return bytes as files have them, which may be as they are."""
    deflated = zlib.compress(data, _FAST)
    is_of_use = len(deflated) < len(data) and is_compressed_size(len(deflated), len(data))
    return deflated if is_of_use else data


def decompress(compressed: bytes, n_bytes: int) -> bytes:
    """Return what `compress` was given; memory is taken for no more than `n_bytes`.

    Raises:
        ValueError: it is not of this size, or not compressed.
    """
    if not is_compressed_size(len(compressed), n_bytes):
        raise ValueError(f"{len(compressed)} bytes cannot be {n_bytes}")
    if len(compressed) == n_bytes:
        return compressed
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(compressed, n_bytes + 1)  # one more shows what is too long
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(data) != n_bytes or not inflater.eof or inflater.unused_data:
        raise ValueError(f"{len(compressed)} bytes are not {n_bytes}")
    return data


def compress_tokens(packed: bytes) -> bytes:
    """Return packed tokens as files have them."""
    return compress(b"".join(packed[place::TOKEN_BYTES] for place in range(TOKEN_BYTES)))


def decompress_tokens(compressed: bytes, n_tokens: int) -> bytes:
    """Return the packed tokens that `compress_tokens` was given.

    Raises:
        ValueError: they are not so many, or not compressed.
    """
    planes = decompress(compressed, n_tokens * TOKEN_BYTES)
    packed = bytearray(len(planes))
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
