"""The secret key is made once, kept to ourselves, and never in the way of a request."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.host.secret_key import FILE_NAME, SecretKey


def test_nothing_is_written_before_the_first_use(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    key = SecretKey(folder)
    assert not folder.exists()
    assert len(key.of("a")) == 32
    (file,) = folder.iterdir()
    assert file.name == FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_key_survives_the_process_and_differs_by_purpose(tmp_path: Path) -> None:
    first = SecretKey(tmp_path)
    assert SecretKey(tmp_path).of("a") == first.of("a") == first.of("a")
    assert first.of("a") != first.of("b")
    assert (tmp_path / FILE_NAME).read_bytes() not in (first.of("a"), first.of("b"))


def test_a_key_in_memory_is_one_of_its_own() -> None:
    first, second = SecretKey(), SecretKey()
    assert first.of("a") == first.of("a")
    assert first.of("a") != second.of("a")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    made = SecretKey(tmp_path).of("a")
    assert SecretKey(tmp_path).of("a") == made
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_where_the_file_cannot_be_kept_the_key_lasts_as_long_as_the_process(
    tmp_path: Path,
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    key = SecretKey(file)
    assert key.of("a") == key.of("a")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"x" * 32)
    (tmp_path / FILE_NAME).symlink_to(other)
    key = SecretKey(tmp_path)
    assert key.of("a") == key.of("a")
    assert other.read_bytes() == b"x" * 32
