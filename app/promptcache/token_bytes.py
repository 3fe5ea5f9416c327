"""Owns the packed form of token lists: little-endian int32, 4 bytes a token."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

TOKEN_BYTES = 4


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
