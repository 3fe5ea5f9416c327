"""The file of an entry: any damage is seen, and no length in it is trusted.

Covers `app.promptcache.entry_header` and `app.promptcache.files`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.promptcache.entry_file import PIECE_BYTES, read_entry, read_metadata, write_temporary
from app.promptcache.entry_header import (
    LENGTH,
    MAGIC,
    MAX_EXTRA_BYTES,
    MAX_HEADER_BYTES,
    VERSION,
    BadEntry,
    EntryBody,
    EntryDraft,
)
from app.promptcache.files import Files
from app.promptcache.token_bytes import TOKEN_BYTES, compress, compress_tokens, pack
from tests.promptcache.test_token_bytes import COMPRESSED, HOSTILE, MIXED, deflated

FILES = Files()
TOKENS = list(range(40))
COMPRESSED_TOKENS = compress_tokens(pack(TOKENS))


def draft(state: bytes = b"state of things", extra: bytes = b"extra") -> EntryDraft:
    return EntryDraft(
        tokens=pack(TOKENS),
        body=EntryBody(state=state),
        extra=extra,
        fingerprint="mine",
        form="",
        role="turn",
        profile="",
        created_s=1.5,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "entry.kv"
    write_temporary(path, draft(), FILES, lambda _: None)
    return path


def reason(path: Path) -> str:
    with pytest.raises(BadEntry) as caught:
        read_entry(path, "mine", FILES)
    return caught.value.reason


def with_header(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the header as someone would who knows the format."""
    content = path.read_bytes()
    start = len(MAGIC) + LENGTH.size
    (length,) = LENGTH.unpack_from(content, len(MAGIC))
    header = msgspec.msgpack.decode(content[start : start + length])
    change(header)
    packed = msgspec.msgpack.encode(header)
    front = MAGIC + LENGTH.pack(len(packed)) + packed
    path.write_bytes(
        front + LENGTH.pack(zlib.crc32(front)) + content[start + length + LENGTH.size :]
    )
    return path


def test_what_is_written_is_read(path: Path) -> None:
    metadata, body = read_entry(path, "mine", FILES)
    assert (metadata.tokens, metadata.extra, bytes(body.state)) == (
        pack(TOKENS),
        b"extra",
        b"state of things",
    )
    assert metadata.n_bytes == path.stat().st_size == draft().n_bytes()
    assert (metadata.header.role, metadata.header.created_s) == ("turn", 1.5)
    assert read_metadata(path, "mine", FILES) == metadata
    assert path.stat().st_mode & 0o777 == 0o600


def test_window_rows_that_are_not_wanted_are_passed_over(tmp_path: Path) -> None:
    n_tokens = len(TOKENS)
    rows, window_rows = b"r" * n_tokens, b"w" * 2
    body = EntryBody(rows=rows, window_rows=window_rows)
    block = dataclasses.replace(draft(), kind="block", body=body, window_start=n_tokens - 2)
    write_temporary(tmp_path / "x", block, FILES, lambda _: None)
    read = [read_entry(tmp_path / "x", "mine", FILES, with_window=x)[1] for x in (True, False)]
    assert [bytes(each.rows) for each in read] == [rows, rows]
    assert [bytes(each.window_rows) for each in read] == [window_rows, b""]


@pytest.mark.parametrize("n_bytes", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 1])
def test_states_of_any_size_are_kept_in_pieces(tmp_path: Path, n_bytes: int) -> None:
    pieces: list[int] = []
    state = bytearray(os.urandom(n_bytes))
    write_temporary(tmp_path / "x", draft(memoryview(state), b""), FILES, pieces.append)  # type: ignore[arg-type] # any buffer
    assert read_entry(tmp_path / "x", "mine", FILES)[1].state == state
    assert max(pieces) <= PIECE_BYTES
    assert sum(pieces) == (tmp_path / "x").stat().st_size


def test_a_flipped_bit_is_seen_wherever_it_is(path: Path) -> None:
    content = path.read_bytes()
    for index in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[index] ^= 1 << bit
            path.write_bytes(damaged)
            assert reason(path)


def test_a_truncated_file_is_seen_wherever_it_ends(path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert reason(path) == "truncated"
        with pytest.raises(BadEntry):
            read_metadata(path, "mine", FILES)


def test_a_file_with_something_after_it_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    assert reason(path) == "too long"


def test_the_head_says_nothing_of_the_state(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert read_metadata(path, "mine", FILES).tokens == pack(TOKENS)
    assert reason(path) == "checksum of state"


def test_each_fault_has_its_reason(path: Path) -> None:
    content = path.read_bytes()
    tokens_at = content.index(COMPRESSED_TOKENS)
    for at, expected in [
        (0, "wrong magic"),
        (len(MAGIC) + 3, "header too long"),
        (len(MAGIC) + LENGTH.size, "checksum of header"),
        (tokens_at, "checksum of tokens"),
        (tokens_at + len(COMPRESSED_TOKENS) - 1, "checksum of tokens"),
        (tokens_at + len(COMPRESSED_TOKENS), "checksum of extra"),
    ]:
        damaged = bytearray(content)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        assert reason(path) == expected


def test_an_entry_of_another_model_or_version_is_refused(path: Path) -> None:
    with pytest.raises(BadEntry, match="foreign fingerprint"):
        read_entry(path, "other", FILES)
    for version, expected in [(VERSION + 1, "wrong version"), (0, "wrong version")] + [
        (older, "in an older format") for older in range(1, VERSION)
    ]:
        with_header(path, lambda header, number=version: header.update(version=number))  # type: ignore[misc]
        assert reason(path) == expected


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("n_tokens", 2**31, "broken header"),
        ("n_tokens", -1, "broken header"),
        ("n_tokens", 0, "broken header"),
        ("n_tokens", 4_000_000, "broken header"),
        ("n_tokens", 39, "broken tokens or extra"),
        ("n_tokens", 41, "broken tokens or extra"),
        ("n_tokens_bytes", 0, "broken header"),
        ("n_tokens_bytes", -1, "broken header"),
        ("n_tokens_bytes", 9, "broken header"),
        ("n_tokens_bytes", 10, "too long"),
        ("n_tokens_bytes", 160, "truncated"),
        ("n_tokens_bytes", 161, "broken header"),
        ("n_tokens_bytes", 2**61, "broken header"),
        ("n_tokens_bytes", 2**63, "broken header"),
        ("n_tokens_bytes", "60", "broken header"),
        ("n_extra", MAX_EXTRA_BYTES + 1, "broken header"),
        ("n_extra", MAX_EXTRA_BYTES, "broken header"),
        ("n_extra", 4, "broken header"),
        ("n_extra", 6, "broken tokens or extra"),
        ("n_extra", -1, "broken header"),
        ("n_extra_bytes", 4, "too long"),
        ("n_extra_bytes", 6, "broken header"),
        ("n_extra_bytes", MAX_EXTRA_BYTES, "broken header"),
        ("n_extra_bytes", -1, "broken header"),
        ("n_state_bytes", 2**63, "broken header"),
        ("n_state_bytes", 2**61, "truncated"),
        ("n_state_bytes", -1, "broken header"),
        ("n_state_bytes", "15", "broken header"),
        ("tokens_sha256", b"", "broken header"),
        ("role", "king", "broken header"),
        ("version", None, "broken header"),
        ("fingerprint", None, "broken header"),
    ],
)
def test_no_length_or_value_in_a_header_is_trusted(
    path: Path, field: str, value: object, expected: str
) -> None:
    assert reason(with_header(path, lambda header: header.update({field: value}))) == expected


@pytest.mark.parametrize("packed", [b"", b"\x91" * 60_000, b"\x81\xa1\xff\x01", b"\xa1\xff"])
def test_a_header_that_is_no_header_is_refused(path: Path, packed: bytes) -> None:
    front = MAGIC + LENGTH.pack(len(packed)) + packed
    path.write_bytes(front + LENGTH.pack(zlib.crc32(front)))
    assert reason(path) == "broken header"


def test_lengths_that_cancel_out_are_seen(path: Path) -> None:
    def shift(header: dict[str, Any]) -> None:
        header["n_tokens_bytes"] += 4
        header["n_state_bytes"] -= 4

    assert reason(with_header(path, shift)) == "checksum of tokens"


PARTS = {"tokens": COMPRESSED_TOKENS, "extra": b"extra"}


def with_part(path: Path, part: str, compressed: bytes, size: int) -> None:
    """Write an entry with other compressed tokens or another extra; all sizes and sums fit."""
    path.unlink(missing_ok=True)
    write_temporary(path, draft(), FILES, lambda _: None)
    content = path.read_bytes()
    tokens_at = content.index(COMPRESSED_TOKENS)
    at = tokens_at if part == "tokens" else tokens_at + len(COMPRESSED_TOKENS)
    path.write_bytes(content[:at] + compressed + content[at + len(PARTS[part]) :])

    def change(header: dict[str, Any]) -> None:
        header["n_tokens" if part == "tokens" else "n_extra"] = size
        header[f"n_{part}_bytes"] = len(compressed)
        header[f"{part}_sha256"] = hashlib.sha256(compressed).digest()

    with_header(path, change)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_compressed_is_refused_even_with_fitting_checksums(
    path: Path, name: str
) -> None:
    for part, size in (("tokens", len(MIXED) // TOKEN_BYTES), ("extra", len(MIXED))):
        with_part(path, part, COMPRESSED, size)
        assert read_metadata(path, "mine", FILES).n_bytes == path.stat().st_size
        with_part(path, part, HOSTILE[name], size)
        assert reason(path) in ("broken tokens or extra", "broken header")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("n_inflated", [2**16, 2**20, 2**22, 2**24, 2**26])
def test_no_file_takes_more_memory_than_a_few_times_its_size(
    path: Path, part: str, n_inflated: int
) -> None:
    bomb = deflated(bytes(n_inflated))
    for size in (40, len(bomb) + 1, 4 * len(bomb), 16 * len(bomb), min(n_inflated, 2**22)):
        with_part(path, part, bomb, size)
        assert reason(path) in ("broken tokens or extra", "broken header")
        tracemalloc.start()
        with contextlib.suppress(BadEntry):
            read_metadata(path, "mine", FILES)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 * len(bomb) + 256 * 1024


@pytest.mark.parametrize("length", [MAX_HEADER_BYTES, MAX_HEADER_BYTES + 1, 2**32 - 1])
def test_a_header_of_hostile_length_is_refused(path: Path, length: int) -> None:
    content = bytearray(path.read_bytes())
    LENGTH.pack_into(content, len(MAGIC), length)
    path.write_bytes(content)
    assert reason(path) in ("header too long", "truncated")


def test_only_regular_files_are_read(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.kv"
    link.symlink_to(path)
    folder = tmp_path / "folder.kv"
    folder.mkdir()
    fifo = tmp_path / "fifo.kv"
    os.mkfifo(fifo)
    assert {reason(link), reason(folder), reason(fifo)} == {"not a regular file"}


def test_what_is_written_is_compressed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bytes] = []

    def counted(data: bytes) -> bytes:
        calls.append(data)
        return compress(data)

    monkeypatch.setattr("app.promptcache.entry_header.compress", counted)
    monkeypatch.setattr("app.promptcache.token_bytes.compress", counted)
    one = draft(extra=bytes(range(200)) * 3)
    n_bytes = one.n_bytes()
    write_temporary(tmp_path / "x", one, FILES, lambda _: None)
    assert one.n_bytes() == n_bytes == (tmp_path / "x").stat().st_size
    assert len(calls) == 2
    assert n_bytes - len(COMPRESSED_TOKENS) < 800


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path) -> None:
    def fail(n_bytes: int) -> None:
        if n_bytes:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_temporary(tmp_path / "x", draft(), FILES, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_write_takes_no_file_over(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "link").symlink_to(victim)
    for name in ("victim", "link"):
        with pytest.raises(FileExistsError):
            write_temporary(tmp_path / name, draft(), FILES, lambda _: None)
    assert victim.read_text() == "mine"


def test_parts_that_the_format_does_not_allow_are_refused_before_writing() -> None:
    with pytest.raises(ValueError, match="too much extra"):
        draft(extra=bytes(MAX_EXTRA_BYTES + 1)).n_bytes()
