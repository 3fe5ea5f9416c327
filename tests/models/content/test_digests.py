"""Digests are computed in the background, once, and never while there is other work."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.models.content.digests import FILE_NAME, FileDigests, is_digest

DATA = b"x" * 100_000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.gguf"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def digests(kept: Path) -> Iterator[FileDigests]:
    made = FileDigests(kept)
    yield made
    made.close()


def computed(digests: FileDigests, *paths: Path) -> str | None:
    """Return a digest, once the background work has ended."""
    digests.find(paths)
    while (thread := digests._thread) is not None:
        thread.join()
    return digests.find(paths)


def test_a_digest_is_not_waited_for(digests: FileDigests, file: Path) -> None:
    go_on = threading.Event()
    digests.is_busy = lambda: not go_on.is_set()
    assert digests.find([file]) is None
    go_on.set()
    assert computed(digests, file) == DIGEST


def test_parts_have_one_digest_together(digests: FileDigests, file: Path, tmp_path: Path) -> None:
    (tmp_path / "b.gguf").write_bytes(b"more")
    both = hashlib.sha256(DATA + b"more").hexdigest()
    assert computed(digests, file, tmp_path / "b.gguf") == both


def test_a_digest_is_kept_for_the_next_start(digests: FileDigests, file: Path, kept: Path) -> None:
    computed(digests, file)
    assert FileDigests(kept).find([file]) == DIGEST


def test_a_second_name_has_the_digest_at_once(
    digests: FileDigests, file: Path, tmp_path: Path
) -> None:
    computed(digests, file)
    os.link(file, tmp_path / "b.gguf")
    assert digests.find([tmp_path / "b.gguf"]) == DIGEST


def test_a_changed_file_is_read_again(digests: FileDigests, file: Path) -> None:
    computed(digests, file)
    file.write_bytes(b"other")
    assert digests.find([file]) is None
    assert computed(digests, file) == hashlib.sha256(b"other").hexdigest()


def test_a_digest_that_was_learned_is_not_computed(digests: FileDigests, file: Path) -> None:
    digests.learn(file, "a" * 64)
    assert digests.find([file]) == "a" * 64
    assert digests.knows(file, "a" * 64)
    assert not digests.knows(file, DIGEST)


@pytest.mark.parametrize("written", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": "short"}', b"\xff"])
def test_a_damaged_file_of_digests_is_as_good_as_none(
    kept: Path, file: Path, written: bytes
) -> None:
    (kept / FILE_NAME).write_bytes(written)
    digests = FileDigests(kept)
    assert computed(digests, file) == DIGEST
    assert FileDigests(kept).find([file]) == DIGEST


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(tmp_path: Path, file: Path) -> None:
    assert computed(FileDigests(tmp_path / "missing"), file) == DIGEST
    assert computed(FileDigests(None), file) == DIGEST


def test_a_missing_file_has_no_digest_and_ends_no_work(
    digests: FileDigests, file: Path, tmp_path: Path
) -> None:
    assert computed(digests, tmp_path / "missing") is None
    assert computed(digests, file) == DIGEST


def test_the_work_ends_with_the_service(digests: FileDigests, file: Path) -> None:
    digests.is_busy = lambda: True
    digests.find([file])
    digests.close()
    assert digests.find([file]) is None


def test_a_digest_has_64_lower_case_digits() -> None:
    assert is_digest("0123456789abcdef" * 4)
    for wrong in ("", "a" * 63, "A" * 64, "g" * 64, "../" + "a" * 61):
        assert not is_digest(wrong)


def test_a_file_that_is_still_copied_is_read_once_for_all_that_asked_meanwhile(
    digests: FileDigests, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    hashed = digests._hash

    def count(path: Path, digest: hashlib._Hash) -> bool:
        read.append(path)
        return hashed(path, digest)

    monkeypatch.setattr(digests, "_hash", count)
    go_on = threading.Event()
    digests.is_busy = lambda: not go_on.is_set()
    other = tmp_path / "other.gguf"
    other.write_bytes(b"read before")
    digests.find([other])
    for size in range(10):
        file.write_bytes(b"x" * size)
        digests.find([file])
    go_on.set()
    computed(digests, file)
    assert read == [other, file]
