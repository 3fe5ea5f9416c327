"""Names below the root: safe, distinct, and only ours are ever removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.promptcache import clear_folder, folder_name, usage
from tests.promptcache.stores import Bench, put, words


@pytest.mark.parametrize("name", ["model.gguf", "Qwen3-0.6B-Q8_0.gguf", "a" * 100])
def test_a_safe_name_stays_as_it_is(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/etc",
        ".hidden",
        "..",
        ".",
        "",
        "a/b",
        "a\0b",
        "a b",
        "é.gguf",
        "x" * 300,
        "\udc80",
    ],
)
def test_any_other_name_becomes_a_safe_one(name: str) -> None:
    safe = folder_name(name)
    assert folder_name(safe) == safe
    assert 0 < len(safe) <= 100
    assert not set(safe) & set("/\0 ")
    assert not safe.startswith(".")


def test_different_names_stay_different() -> None:
    names = ["a/b", "a\\b", "a b", "a_b", ".a_b", "..a_b", "x" * 101, "x" * 102, "x" * 100, "", "."]
    assert len({folder_name(name) for name in names}) == len(names)


def test_usage_counts_the_entries_of_each_model(bench: Bench) -> None:
    assert usage(bench.root) == {}
    store = bench.open()
    put(store, words(0))
    put(store, words(1), profile="pinned")
    put(bench.open("other.gguf"), words(0))
    bench.open("empty.gguf")
    (bench.root / "model.gguf" / "x.tmp").write_bytes(b"12345")
    (bench.root / "linked.gguf").symlink_to(bench.root / "model.gguf")
    counted = usage(bench.root)
    assert set(counted) == {"model.gguf", "other.gguf"}
    assert counted["model.gguf"] == (2, store.status().n_bytes)


def test_clearing_a_folder_removes_only_what_is_ours(bench: Bench) -> None:
    store = bench.open()
    put(store, words(0))
    put(store, words(1), profile="pinned")
    n_bytes = store.status().n_bytes
    folder = bench.root / "model.gguf"
    outside = bench.root / "outside"
    outside.write_text("mine")
    (folder / "link.kv").symlink_to(outside)
    (folder / "half.tmp").touch()
    (folder / "notes.txt").touch()
    (folder / "folder.kv").mkdir()
    n_entries, freed = clear_folder(bench.root, "model.gguf")
    assert (n_entries, freed >= n_bytes) == (3, True)
    assert bench.names() == ["folder.kv", "notes.txt"]
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "../x", "a\0"])
def test_only_folders_right_below_the_root_can_be_cleared(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a folder"):
        clear_folder(tmp_path, name)


def test_a_folder_that_is_not_there_or_a_link_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.kv").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert clear_folder(tmp_path, "absent") == (0, 0)
    with pytest.raises(OSError, match="link"):
        clear_folder(tmp_path, "link")
    assert (tmp_path / "real" / "a.kv").exists()
