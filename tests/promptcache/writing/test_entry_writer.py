"""A disk that is full, read-only or away: said once, tried again, and reading goes on.

Covers `app.promptcache.writing.write_errors`.
"""

from __future__ import annotations

from errno import EACCES, EIO, ENOSPC, EROFS

import pytest

from tests.promptcache.stores import Bench, fetch, is_kept, put, words


@pytest.mark.parametrize(
    ("error_number", "write_error"),
    [
        (ENOSPC, "The prompt cache cannot be written: the disk is full."),
        (EROFS, "The prompt cache cannot be written: the disk is read-only."),
        (EACCES, "The prompt cache cannot be written: the folder may not be written."),
        (EIO, "The prompt cache cannot be written: Input/output error."),
    ],
)
@pytest.mark.parametrize("call", ["create", "write", "rename"])
def test_a_failing_disk_pauses_writes_and_nothing_else(
    bench: Bench, call: str, error_number: int, write_error: str
) -> None:
    store = bench.open()
    put(store, words(0))
    bench.files.fail(error_number, call)
    for seed in range(1, 4):
        assert not put(store, words(seed))
    assert store.status().write_error == write_error
    assert [level for level, _ in bench.notices.lines] == ["warning"]
    assert is_kept(store, words(0))
    assert len(bench.names()) == 1, "no half-written file is left"


def test_writes_are_tried_again_after_half_a_minute(bench: Bench) -> None:
    store = bench.open()
    bench.files.fail(ENOSPC, "write")
    assert not put(store, words(0))
    bench.clock.now_s += 30
    assert not put(store, words(0)), "still full"
    bench.files.fail(0)
    bench.clock.now_s += 29
    assert not put(store, words(0)), "not tried yet"
    bench.clock.now_s += 1
    assert put(store, words(0))
    assert store.status().write_error == ""
    assert bench.notices.lines == [
        (
            "warning",
            "The prompt cache cannot be written: the disk is full; tried again every 30 s.",
        ),
        ("info", "The prompt cache can be written again."),
    ]


def test_a_clock_set_back_does_not_make_a_pause_longer(bench: Bench) -> None:
    store = bench.open()
    bench.files.fail(ENOSPC, "write")
    put(store, words(0))
    bench.files.fail(0)
    bench.clock.now_s -= 1_000_000
    assert put(store, words(0))


def test_a_store_opens_without_its_folder_and_finds_it_later(bench: Bench) -> None:
    put(bench.open(), words(0))
    bench.files.fail(EACCES, "make_folder")
    store = bench.open()
    assert store.status().write_error
    assert store.find(words(0)) is None
    assert not put(store, words(1))
    bench.files.fail(0)
    bench.clock.now_s += 30
    assert put(store, words(1))
    assert is_kept(store, words(0)), "what lies there was looked at"
    assert store.status().write_error == ""


def test_entries_on_a_read_only_disk_are_still_found_when_there_is_no_room(bench: Bench) -> None:
    store = bench.open()
    put(store, words(0), n_bytes=10_000)
    store.set_capacity(15_000)
    bench.files.fail(EROFS, "remove", "create", "touch")
    for _ in range(3):
        bench.clock.now_s += 60
        assert not put(store, words(1), n_bytes=10_000)
        assert fetch(store, words(0)) is not None


def test_a_folder_that_was_deleted_is_made_again(bench: Bench) -> None:
    store = bench.open()
    put(store, words(0))
    bench.only_file().unlink()
    (bench.root / "model.gguf").rmdir()
    assert put(store, words(1))
    assert is_kept(bench.open(), words(1))


def test_a_link_in_the_place_of_the_folder_is_not_followed(bench: Bench) -> None:
    elsewhere = bench.root / "elsewhere"
    elsewhere.mkdir(parents=True)
    (bench.root / "model.gguf").symlink_to(elsewhere)
    store = bench.open()
    assert "is a link" in store.status().write_error
    bench.clock.now_s += 60
    assert not put(store, words(0))
    assert list(elsewhere.iterdir()) == []
    assert store.clear() == (0, 0)


def test_a_file_removed_while_it_is_written_is_no_trouble(bench: Bench) -> None:
    store = bench.open()

    def throttle() -> None:
        for path in (bench.root / "model.gguf").glob("*.tmp"):
            path.unlink()

    assert not store.write(words(0), b"state", throttle=throttle)
    assert store.status().write_error == ""
    assert bench.notices.lines == []


def test_an_error_of_the_caller_leaves_no_file(bench: Bench) -> None:
    store = bench.open()

    def throttle() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(words(0), b"state", throttle=throttle)
    assert bench.names() == []
    assert put(store, words(0))
