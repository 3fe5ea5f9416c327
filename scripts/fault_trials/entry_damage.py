"""Owns damage to files of the prompt cache."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec

from app.promptcache.entry_file import read_entry
from app.promptcache.entry_header import PREAMBLE_BYTES, encode_front
from app.promptcache.files import Files
from scripts.fault_trials.bytes_damage import flip_bits, insert_or_remove, overwrite, put_number

_FRONT_BYTES = 400


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
    """Damage the rows or the state in an entry and make sizes and checksums fit."""
    metadata, body = read_entry(path, fingerprint, Files())
    rows, window_rows, state = map(bytearray, body.parts)
    part = rows if metadata.header.kind == "block" else state
    draw = rng.random()
    if draw < 0.4 and len(part) >= 64:
        put_number(part, rng, rng.randrange(0, 64, 4), 4)
    elif draw < 0.6 and part:
        flip_bits(part, rng, 0, len(part), most=1000)
    elif draw < 0.8 and part is state and len(part) > 1:
        del part[rng.randrange(1, len(part)) :]
    elif draw < 0.8 and part is rows:
        n_rows = metadata.header.n_tokens - metadata.header.start
        del part[rng.randrange(1, len(part) // n_rows) * n_rows :]
    else:
        part[:] = rng.randbytes(len(part))
    header = msgspec.structs.replace(
        metadata.header,
        n_rows_bytes=len(rows),
        n_state_bytes=len(state),
        rows_sha256=hashlib.sha256(rows).digest(),
        state_sha256=hashlib.sha256(state).digest(),
    )
    parts = (metadata.tokens, metadata.extra, rows, window_rows, state)
    path.write_bytes(encode_front(header) + b"".join(parts))


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
