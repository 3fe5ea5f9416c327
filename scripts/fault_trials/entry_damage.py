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
    if metadata.header.kind == "block":
        _forge_rows(rows, metadata.header.n_tokens - metadata.header.start, rng)
    elif state:
        _forge_state(state, rng)
    header = msgspec.structs.replace(
        metadata.header,
        n_rows_bytes=len(rows),
        n_state_bytes=len(state),
        rows_sha256=hashlib.sha256(rows).digest(),
        state_sha256=hashlib.sha256(state).digest(),
    )
    parts = (metadata.tokens, metadata.extra, rows, window_rows, state)
    path.write_bytes(encode_front(header) + b"".join(parts))


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
