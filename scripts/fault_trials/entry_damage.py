"""Owns damage to files of the prompt cache."""

from __future__ import annotations

import hashlib
import os
import random
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from app.promptcache.entry_file import read_entry
from app.promptcache.entry_header import PREAMBLE_BYTES, encode_front
from app.promptcache.files import Files
from app.promptcache.token_bytes import compress, compress_tokens
from scripts.fault_trials.bytes_damage import flip_bits, insert_or_remove, overwrite, put_number

_FRONT_BYTES = 1500  # header, tokens and extra of a short conversation
_FORGED_FRONT = 0.2


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a copy of an entry with one damage, two at most."""
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2))):
        if copy:
            _damage(copy, rng)
    return bytes(copy)


def _damage(data: bytearray, rng: random.Random) -> None:
    front = max(1, min(_FRONT_BYTES, len(data)))
    at = rng.choice((rng.randrange(front), rng.randrange(len(data))))
    draw = rng.random()
    if draw < 0.25:
        flip_bits(data, rng, 0, front)
    elif draw < 0.45:
        flip_bits(data, rng, 0, len(data))
    elif draw < 0.55 and len(data) >= PREAMBLE_BYTES:
        put_number(data, rng, PREAMBLE_BYTES - 4, 4)
    elif draw < 0.70:
        del data[at:]
    elif draw < 0.82:
        insert_or_remove(data, rng, at)
    elif draw < 0.90:
        data += rng.randbytes(rng.choice((1, 4096)))
    else:
        overwrite(data, rng, at)


def forge(path: Path, fingerprint: str, rng: random.Random) -> None:
    """Damage the rows or the state in an entry, or its tokens or extra; make all sums fit."""
    metadata, body = read_entry(path, fingerprint, Files())
    tokens, extra = compress_tokens(metadata.tokens), compress(metadata.extra)
    rows, window_rows, state = map(bytearray, body.parts)
    if rng.random() < _FORGED_FRONT:
        tokens, extra = rng.choice(((_forged(tokens, rng), extra), (tokens, _forged(extra, rng))))
    elif metadata.header.kind == "block":
        _forge_rows(rows, metadata.header.n_tokens - metadata.header.start, rng)
    elif state:
        _forge_state(state, rng)
    header = msgspec.structs.replace(
        metadata.header,
        n_tokens_bytes=len(tokens),
        n_extra_bytes=len(extra),
        n_rows_bytes=len(rows),
        n_state_bytes=len(state),
        tokens_sha256=hashlib.sha256(tokens).digest(),
        extra_sha256=hashlib.sha256(extra).digest(),
        rows_sha256=hashlib.sha256(rows).digest(),
        state_sha256=hashlib.sha256(state).digest(),
    )
    parts = (tokens, extra, rows, window_rows, state)
    path.write_bytes(encode_front(header) + b"".join(parts))


def _forged(compressed: bytes, rng: random.Random) -> bytes:
    """Return compressed bytes with a damage, or others that inflate to a lot."""
    if not compressed or rng.random() < 0.2:
        return zlib.compress(bytes(rng.choice((1, 1000, 2**20, 2**26))))
    data = bytearray(compressed)
    if rng.random() < 0.5:
        flip_bits(data, rng, 0, len(data))
    else:
        insert_or_remove(data, rng, rng.randrange(len(data)))
    return bytes(data)


def _forge_rows(rows: bytearray, n_rows: int, rng: random.Random) -> None:
    """Move values or give all rows another size.

    Numbers stay numbers: in a KV cache, one that is none spoils all sequences, masked or not.
    """
    row_bytes = len(rows) // n_rows
    if rng.random() < 0.5:
        at = rng.randrange(0, len(rows), 2)
        rows[:] = rows[at:] + rows[:at]
    else:
        del rows[rng.randrange(1, row_bytes) * n_rows :]


def _forge_state(state: bytearray, rng: random.Random) -> None:
    draw = rng.random()
    if draw < 0.4 and len(state) >= 68:
        put_number(state, rng, rng.randrange(0, 64, 4), 4)
    elif draw < 0.6:
        flip_bits(state, rng, 0, len(state), most=1000)
    elif draw < 0.8 and len(state) > 1:
        del state[rng.randrange(1, len(state)) :]
    else:
        state[:] = rng.randbytes(len(state))


def damage_file(path: Path, others: Sequence[Path], rng: random.Random) -> None:
    """Damage an entry in its place.

    Args:
        others: whole entries, of which one may take its place.
    """
    whole = path.read_bytes()
    draw = rng.random()
    if draw < 0.80:
        path.write_bytes(damaged(whole, rng))
    elif draw < 0.90:
        path.write_bytes(rng.choice(others).read_bytes())
    else:
        path.unlink()
        if draw < 0.92:
            path.mkdir()
        elif draw < 0.94:
            path.symlink_to("/dev/zero")
        elif draw < 0.96:
            os.mkfifo(path)
