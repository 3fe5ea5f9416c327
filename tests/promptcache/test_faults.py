"""Files that are damaged, foreign or hostile: what is given out is right, and the rest stays."""

from __future__ import annotations

import hashlib
import os
import shutil
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.promptcache import DiskStore, Snapshot
from app.promptcache.entry_header import LENGTH, MAGIC, PREAMBLE_BYTES
from tests.promptcache.stores import (
    TOKEN_ROW_BYTES,
    WINDOW_ROW_BYTES,
    Bench,
    keep,
    restored,
    snapshot_of,
    words,
)

HEAD = words(0, 64)
TURN = [*HEAD, *words(1, 40)]
PARTS = ("magic", "length", "header", "crc", "tokens", "extra", "rows", "window rows", "state")
MIB = 1024 * 1024


def fill(bench: Bench) -> DiskStore:
    """Keep a head and a turn, each with rows, window rows, a state and an extra."""
    store = bench.open()
    for tokens, start in ((HEAD, 0), (TURN, 64)):
        snapshot = snapshot_of(tokens, start, window_start=max(start, len(tokens) - 48))
        assert store.write_snapshot(tokens, snapshot, extra=b"block extra")
        n_tokens = len(tokens)
        state = Snapshot(n_tokens, n_tokens, b"", n_tokens, b"", b"state of " + bytes([n_tokens]))
        assert store.write_snapshot(tokens, state, extra=b"state extra")
    return store


def path_of(bench: Bench, store: DiskStore, n_tokens: int, kind: str) -> Path:
    (name,) = [
        each.file_name
        for each in store.list_entries()
        if (each.n_tokens, each.kind) == (n_tokens, kind)
    ]
    return bench.root / "model.gguf" / name


def regions(content: bytes) -> dict[str, range]:
    """Return where each part of a file lies; a part that it does not have is empty."""
    (length,) = LENGTH.unpack_from(content, len(MAGIC))
    header = msgspec.msgpack.decode(content[PREAMBLE_BYTES : PREAMBLE_BYTES + length])
    sizes = [len(MAGIC), LENGTH.size, length, LENGTH.size]
    sizes += [header[f"n_{part}_bytes"] for part in ("tokens", "extra", "rows", "window", "state")]
    found, at = {}, 0
    for name, size in zip(PARTS, sizes, strict=True):
        found[name], at = range(at, at + size), at + size
    assert at == len(content)
    return found


def check(store: DiskStore) -> tuple[int, list[int]]:
    """Read all there is of the turn; return how many rows are right, and which states."""
    n_rows = restored(store, TURN)
    states = []
    for match in store.states(TURN):
        content = store.read(match)
        if content is not None:
            assert content.state == b"state of " + bytes([match.n_tokens])
            assert content.tokens == TURN[: match.n_tokens]
            states.append(match.n_tokens)
    return n_rows, states


def intact(bench: Bench, n_tokens: int, kind: str) -> tuple[int, list[int]]:
    """Return what `check` gives without one of the files."""
    rows = {(64, "block"): 0, (104, "block"): 64}.get((n_tokens, kind), 104)
    return rows, [n for n in (104, 64) if (n, "state") != (n_tokens, kind)]


FILES = [(64, "block"), (104, "block"), (64, "state"), (104, "state")]


@pytest.fixture(params=FILES, ids=lambda file: f"{file[1]}-{file[0]}")
def victim(request: pytest.FixtureRequest, bench: Bench) -> Iterator[tuple[Path, Any]]:
    store = fill(bench)
    assert check(store) == (104, [104, 64])
    path = path_of(bench, store, *request.param)
    yield path, intact(bench, *request.param)
    assert restored(bench.open(), words(9)) == 0


def damage(bench: Bench, path: Path, content: bytes) -> Iterator[DiskStore]:
    """Yield a store that was open while a file was damaged, and one that starts after it."""
    whole = path.read_bytes()
    with_it = bench.open()
    path.write_bytes(content)
    yield with_it
    path.write_bytes(content)
    yield bench.open()
    assert not path.exists(), "it was removed"
    path.write_bytes(whole)
    assert check(bench.open()) == (104, [104, 64]), "nothing else was"


def test_a_truncated_file_costs_what_it_held_only(bench: Bench, victim: Any) -> None:
    path, left = victim
    content = path.read_bytes()
    places = regions(content)
    edges = {edge for part in places.values() for edge in (part.start, part.stop)}
    near = {edge + by for edge in edges for by in (-1, 0, 1)}
    for length in sorted({*near, *range(0, len(content), 97)}):
        if 0 <= length < len(content):
            for store in damage(bench, path, content[:length]):
                assert check(store) == left


def test_flipped_bits_cost_what_the_file_held_only(bench: Bench, victim: Any) -> None:
    path, left = victim
    content = path.read_bytes()
    for place in regions(content).values():
        for at in {place.start, (place.start + place.stop) // 2, place.stop - 1} if place else ():
            damaged = bytearray(content)
            damaged[at] ^= 1 << at % 8
            for store in damage(bench, path, bytes(damaged)):
                assert check(store) == left


@pytest.mark.parametrize("other", FILES)
def test_a_file_in_the_place_of_another_one_is_refused(
    bench: Bench, victim: Any, other: tuple[int, str]
) -> None:
    path, left = victim
    other_path = path_of(bench, bench.open(), *other)
    if other_path != path:
        for store in damage(bench, path, other_path.read_bytes()):
            assert check(store) == left


def test_a_block_of_another_beginning_is_refused(bench: Bench, victim: Any) -> None:
    path, left = victim
    store = bench.open("other.gguf")
    others = [9, *TURN[1:]]
    for n_tokens in (64, 104):
        keep(store, others[:n_tokens], state=b"state of " + bytes([n_tokens]))
    for other_path in sorted((bench.root / "other.gguf").iterdir()):
        for damaged in damage(bench, path, other_path.read_bytes()):
            assert check(damaged) == left
    shutil.rmtree(bench.root / "other.gguf")


def with_header(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Change a header as someone would who knows the format."""
    (length,) = LENGTH.unpack_from(content, len(MAGIC))
    header = msgspec.msgpack.decode(content[PREAMBLE_BYTES : PREAMBLE_BYTES + length])
    change(header)
    packed = msgspec.msgpack.encode(header)
    front = MAGIC + LENGTH.pack(len(packed)) + packed
    rest = content[PREAMBLE_BYTES + length + LENGTH.size :]
    return front + LENGTH.pack(zlib.crc32(front)) + rest


SIZES = (
    "n_tokens",
    "n_extra",
    "n_tokens_bytes",
    "n_extra_bytes",
    "n_rows_bytes",
    "n_window_bytes",
    "n_state_bytes",
)


VALUES = (-1, 0, 1, 31, 32, 2**20, 2**31, 2**40, 2**61, 2**63, "9", None)


def fits(kind: str, field: str, value: object) -> bool:
    """Whether the sizes in a file allow a value: nobody can tell then."""
    if field == "window_start":
        return value in (0, 32) if kind == "block" else value in (0, 1, 31, 32, 2**20)
    return (kind, field, value) == ("state", "start", 0)


@pytest.mark.parametrize("field", [*SIZES, "start", "window_start"])
def test_no_length_or_position_is_trusted_and_no_memory_taken_for_it(
    bench: Bench, victim: Any, field: str
) -> None:
    path, left = victim
    content = path.read_bytes()
    kind = "state" if left[0] == 104 else "block"
    tracemalloc.start()
    for value in VALUES:
        hostile = with_header(content, partial(dict.update, **{field: value}))
        if hostile != content and not fits(kind, field, value):
            for store in damage(bench, path, hostile):
                assert check(store) == left
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


def test_a_file_that_says_it_is_of_another_kind_is_refused(bench: Bench, victim: Any) -> None:
    path, left = victim
    content = path.read_bytes()
    for kind in ("block", "state", "king", "", None, 3):
        hostile = with_header(content, partial(dict.update, kind=kind))
        for store in damage(bench, path, hostile) if hostile != content else ():
            assert check(store) == left


def test_a_file_with_a_hole_of_any_size_is_refused_before_it_is_read(bench: Bench) -> None:
    """Someone who knows the format makes the sizes fit; the file takes no space on the disk."""
    store = fill(bench)
    path = path_of(bench, store, 104, "block")
    size = 2**35

    def grow(header: dict[str, Any]) -> None:
        header["n_rows_bytes"] = 40 * size

    path.write_bytes(with_header(path.read_bytes(), grow))
    os.truncate(path, path.stat().st_size + 40 * size - 40 * 40)
    tracemalloc.start()
    for each in (store, bench.open()):
        assert check(each) == (64, [104, 64])
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()
    assert not path.exists()
    assert "too large" in bench.notices.lines[0][1]


@pytest.mark.parametrize("thing", ["link", "dangling", "device", "fifo", "folder"])
def test_what_is_no_regular_file_is_not_read(bench: Bench, victim: Any, thing: str) -> None:
    path, left = victim
    store = bench.open()
    whole = path.read_bytes()
    path.unlink()
    if thing == "link":
        outside = bench.root / "outside"
        outside.write_bytes(whole)
        path.symlink_to(outside)
    elif thing == "dangling":
        path.symlink_to("nowhere")
    elif thing == "device":
        path.symlink_to("/dev/zero")
    elif thing == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    for each in (store, bench.open()):
        assert check(each) == left
    assert (path.exists() or path.is_symlink()) == (thing == "folder")
    if thing == "folder":
        path.rmdir()
    path.write_bytes(whole)
    assert check(bench.open()) == (104, [104, 64])


@pytest.mark.parametrize("part", ["rows", "window"])
def test_rows_of_another_size_are_refused_even_with_fitting_checksums(
    bench: Bench, part: str
) -> None:
    """Whoever joins rows trusts that each token has as many bytes as the model gives it."""
    sizes = (TOKEN_ROW_BYTES, WINDOW_ROW_BYTES)
    path = path_of(bench, fill(bench), 104, "block")
    whole = path.read_bytes()
    store = bench.open(row_bytes=sizes)
    place = regions(whole)["rows" if part == "rows" else "window rows"]
    kept = place.start + len(place) // 2
    sha256 = hashlib.sha256(whole[place.start : kept]).digest()
    change = {f"n_{part}_bytes": len(place) // 2, f"{part}_sha256": sha256}
    path.write_bytes(
        with_header(whole[:kept] + whole[place.stop :], partial(dict.update, **change))
    )
    assert check(store)[0] == 64
    assert not path.exists()
    path.write_bytes(
        with_header(whole[:kept] + whole[place.stop :], partial(dict.update, **change))
    )
    assert check(bench.open(row_bytes=sizes))[0] == 64
    assert not path.exists()
    assert "rows of another size" in bench.notices.lines[0][1]
    path.write_bytes(whole)
    assert check(bench.open(row_bytes=sizes)) == (104, [104, 64])


# ---------------------------------------------------------------- older formats


def older(content: bytes) -> bytes:
    """Return a file in the format of before, whose header had other fields."""
    (length,) = LENGTH.unpack_from(content, len(MAGIC))
    packed = msgspec.msgpack.encode({"version": 1, "fingerprint": "this one", "n_tokens": 64})
    front = MAGIC + LENGTH.pack(len(packed)) + packed
    rest = content[PREAMBLE_BYTES + length + LENGTH.size :]
    return front + LENGTH.pack(zlib.crc32(front)) + rest


def test_files_in_the_format_of_before_are_removed_in_one_line(bench: Bench) -> None:
    fill(bench)
    for path in (bench.root / "model.gguf").iterdir():
        path.write_bytes(older(path.read_bytes()))
    pinned = bench.root / "model.gguf" / f"{'0' * 32}.pinned.kv"
    pinned.write_bytes(path.read_bytes())
    store = bench.open()
    assert bench.names() == []
    assert bench.notices.lines == [
        (
            "warning",
            "Prompts in the cache that cannot be used were removed: 5 in an older format.",
        )
    ]
    assert keep(store, TURN)
    bench.open()
    assert len(bench.notices.lines) == 1
