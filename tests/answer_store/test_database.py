"""The file is private, checked when it is opened, and replaced if it is damaged."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from app.answer_store.database import is_damage, move_aside, open_database, remove


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "answers.sqlite"


def test_a_file_is_made_that_only_its_owner_can_read(path: Path) -> None:
    connection = open_database(path)
    connection.execute("INSERT INTO items (id, number) SELECT 'x', 1 WHERE 0")
    modes = [stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()]
    assert set(modes) == {0o600}
    connection.close()


def test_what_was_written_is_there_again(path: Path) -> None:
    for n_before in range(2):
        connection = open_database(path)
        rows = connection.execute("SELECT count(*) FROM answers").fetchone()
        assert rows == (n_before,)
        connection.execute(
            "INSERT INTO answers (id, owner, model, created_s, used_s, n_bytes, checksum,"
            " is_running) VALUES (?, '', '', 0, 0, 0, 0, 0)",
            (str(n_before),),
        )
        connection.close()


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 9000]
)
def test_a_damaged_file_moves_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    open_database(path).close()
    (aside,) = path.parent.glob("answers.sqlite.damaged-*")
    assert aside.read_bytes() == content


def test_a_file_of_another_layout_moves_aside(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    open_database(path).close()
    assert list(path.parent.glob("answers.sqlite.damaged-*"))


def test_only_the_latest_damaged_files_are_kept(path: Path) -> None:
    path.parent.mkdir()
    for number in range(4):
        path.write_text(str(number))
        move_aside(path, "damaged")
    kept = sorted(path.parent.glob("answers.sqlite.damaged-*"))
    assert sorted(each.read_text() for each in kept) == ["2", "3"]
    path.write_text("new")
    assert remove(path)
    assert list(path.parent.iterdir()) == []
    assert not remove(path)


def test_a_file_that_another_service_has_is_refused_and_stays(path: Path) -> None:
    first = open_database(path)
    with pytest.raises(sqlite3.OperationalError) as refused:
        open_database(path)
    assert not is_damage(refused.value)
    first.close()
    open_database(path).close()


def test_no_temporary_files_are_made(path: Path) -> None:
    connection = open_database(path)
    in_memory = 2
    assert connection.execute("PRAGMA temp_store").fetchone() == (in_memory,)
    connection.close()
