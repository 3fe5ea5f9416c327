"""Owns damage to bytes of any kind, drawn from a random generator."""

from __future__ import annotations

import random

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257),
    *(2**15, 2**16 - 1, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40),
    *(2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 32, 2**64 - 8, 2**64 - 1),
)


def flip_bits(data: bytearray, rng: random.Random, begin: int, end: int, most: int = 8) -> None:
    """Change up to `most` bits between two places."""
    for _ in range(rng.randint(1, most)):
        data[rng.randrange(begin, end)] ^= 1 << rng.randrange(8)


def put_number(data: bytearray, rng: random.Random, at: int, size: int) -> None:
    """Write a number over `size` bytes: one that programs trip over, or one near the old one."""
    old = int.from_bytes(data[at : at + size], "little")
    number = rng.choice((*NUMBERS, old + 1, old - 1, old * 2, rng.getrandbits(8 * size)))
    data[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, "little")


def insert_or_remove(data: bytearray, rng: random.Random, at: int) -> None:
    """Make the bytes a little longer or shorter at one place."""
    n_bytes = rng.choice((1, 2, 4, 8, 32, 1000))
    if rng.random() < 0.5:
        data[at:at] = rng.randbytes(n_bytes)
    else:
        del data[at : at + n_bytes]


def overwrite(data: bytearray, rng: random.Random, at: int) -> None:
    """Write random bytes, or zeros, over some at one place."""
    n_bytes = min(rng.choice((1, 4, 16, 64, 512)), len(data) - at)
    data[at : at + n_bytes] = rng.choice((bytes(n_bytes), rng.randbytes(n_bytes)))
