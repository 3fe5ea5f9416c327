"""Compressed tokens: the same come back, and no bytes make their reader take much memory.

Covers `app.promptcache.token_bytes`.
"""

from __future__ import annotations

import contextlib
import random
import tracemalloc
import zlib

import pytest

from app.promptcache.token_bytes import (
    MAX_RATIO,
    TOKEN_BYTES,
    compress,
    compress_tokens,
    decompress,
    decompress_tokens,
    pack,
    unpack,
)

N_TOKENS = 4000
VOCABULARY = 152_000


def prose(n_tokens: int = N_TOKENS) -> bytes:
    """Return tokens of which few are frequent and many are rare, as in texts."""
    rng = random.Random(1)
    return pack([min(VOCABULARY, int(rng.paretovariate(0.7))) for _ in range(n_tokens)])


def noise(n_tokens: int = N_TOKENS, bits: int = 32) -> bytes:
    rng = random.Random(2)
    return pack([rng.getrandbits(bits) - (1 << bits - 1) for _ in range(n_tokens)])


@pytest.mark.parametrize("n_tokens", [1, 2, 31, 32, 33, 1000, N_TOKENS])
@pytest.mark.parametrize("make", [prose, noise, lambda n: pack([7] * n), lambda n: pack(range(n))])
def test_what_is_compressed_comes_back(make: object, n_tokens: int) -> None:
    assert callable(make)
    packed = make(n_tokens)
    compressed = compress_tokens(packed)
    assert len(packed) / MAX_RATIO <= len(compressed) <= len(packed)
    assert decompress_tokens(compressed, n_tokens) == packed


@pytest.mark.parametrize("data", [b"", b"a", b"some words " * 9, b"a" * 5000, noise()])
def test_an_extra_comes_back(data: bytes) -> None:
    compressed = compress(data)
    assert len(data) / MAX_RATIO <= len(compressed) <= len(data)
    assert decompress(compressed, len(data)) == data


def test_the_tokens_of_a_text_take_less_than_half() -> None:
    assert len(compress_tokens(prose())) < len(prose()) / 2


def test_tokens_that_cannot_be_compressed_take_no_more_than_they_are() -> None:
    assert len(compress_tokens(noise())) == len(noise())


def test_tokens_that_would_grow_too_much_in_memory_are_not_compressed() -> None:
    assert len(compress_tokens(pack([7] * N_TOKENS))) == N_TOKENS * TOKEN_BYTES


def deflated(data: bytes) -> bytes:
    return zlib.compress(data, 9)


def with_dictionary(data: bytes) -> bytes:
    deflater = zlib.compressobj(zdict=data)
    return deflater.compress(data) + deflater.flush()


def unfinished(data: bytes) -> bytes:
    deflater = zlib.compressobj()
    return deflater.compress(data) + deflater.flush(zlib.Z_FULL_FLUSH)


MIXED = noise(400, bits=12)
COMPRESSED = compress_tokens(MIXED)
HOSTILE = {
    "nothing": b"",
    "zeros": bytes(400),
    "truncated": COMPRESSED[:-1],
    "its half": COMPRESSED[: len(COMPRESSED) // 2],
    "a byte after it": COMPRESSED + b"\0",
    "two in one": COMPRESSED + COMPRESSED[:-1],
    "one token less": deflated(MIXED[:-TOKEN_BYTES]),
    "one token more": deflated(MIXED + MIXED[:TOKEN_BYTES]),
    "a byte less": deflated(MIXED[:-1]),
    "a byte more": deflated(MIXED + b"\0"),
    "no end": unfinished(MIXED),
    "a dictionary that we lack": with_dictionary(MIXED) + bytes(200),
    "another kind of stream": zlib.compress(MIXED, wbits=-15),
    "gzip": zlib.compress(MIXED, wbits=31),
    "inflates to megabytes": deflated(bytes(512 * 1024)),
    "inflates to megabytes from a kilobyte": deflated(bytes(1024 * 1024)),
    "longer than the tokens": MIXED + b"\0",
    "shorter than a sixteenth": COMPRESSED[: len(MIXED) // MAX_RATIO - 1],
}


@pytest.mark.parametrize("compressed", HOSTILE.values(), ids=HOSTILE.keys())
def test_other_bytes_are_refused(compressed: bytes) -> None:
    for read, size in ((decompress_tokens, len(MIXED) // TOKEN_BYTES), (decompress, len(MIXED))):
        with pytest.raises(ValueError, match=r".") as caught:
            read(compressed, size)
        assert type(caught.value) is ValueError


def test_any_damage_gives_other_tokens_or_none() -> None:
    """Which of both, and that it is seen at all, is up to the sums beside it."""
    n_tokens = len(MIXED) // TOKEN_BYTES
    rng = random.Random(3)
    for _ in range(2000):
        damaged = bytearray(COMPRESSED)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.getrandbits(8)
        with contextlib.suppress(ValueError):
            assert len(unpack(decompress_tokens(bytes(damaged), n_tokens))) == n_tokens


def test_a_bomb_takes_no_memory() -> None:
    bombs = [deflated(bytes(n)) for n in (2**20, 2**24, 2**26)]
    tracemalloc.start()
    for bomb in bombs:
        for n_tokens in (32, len(bomb) // TOKEN_BYTES + 1, 4 * len(bomb), 2**20, 2**40):
            with pytest.raises(ValueError, match=r"."):
                decompress_tokens(bomb, n_tokens)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_RATIO * max(map(len, bombs))
