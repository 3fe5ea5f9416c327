"""One service works in a cache folder; another one goes on without a disk tier."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.host.cache_folder import CacheFolder
from app.promptcache.lock import FolderInUse, FolderLock
from app.protocol import CacheParams


def wanted(root: Path) -> CacheParams:
    return CacheParams(
        folder=str(root), disk_cache_mb=5, disk_daily_write_mb=6, disk_save_after_s=7.0
    )


def folder(root: Path) -> CacheFolder:
    return CacheFolder(root, wanted(root))


def kept(root: Path, model: str, *sizes: int) -> None:
    """Put files in place of entries."""
    (root / model).mkdir(parents=True)
    for number, size in enumerate(sizes):
        (root / model / f"{number}.kv").write_bytes(b"x" * size)


async def test_engines_get_the_folder_and_its_limits(tmp_path: Path) -> None:
    root = tmp_path / "new" / "cache"
    assert await folder(root).claim() == wanted(root)
    assert root.is_dir()


async def test_a_second_service_goes_on_without_and_says_so_once(tmp_path: Path) -> None:
    first, second = folder(tmp_path), folder(tmp_path)
    await first.claim()
    with capture_logs() as lines:
        params = await second.claim()
        assert await second.claim() == second.params == params
    assert (params.folder, params.disk_cache_mb) == ("", 5)
    assert "in use by process" in params.refused
    (line,) = lines
    assert (line["log_level"], line["event"]) == ("warning", "cache_folder_refused")


async def test_the_next_engine_gets_the_folder_once_it_is_free(tmp_path: Path) -> None:
    first, second = folder(tmp_path), folder(tmp_path)
    await first.claim()
    await second.claim()
    first.release()
    assert await second.claim() == wanted(tmp_path)
    assert (await first.claim()).refused


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    params = await folder(tmp_path / "file" / "cache").claim()
    assert "cannot be used: Not a directory" in params.refused


async def test_without_a_disk_tier_the_folder_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    off = CacheFolder(root, CacheParams())
    assert await off.claim() == CacheParams()
    assert await off.usage() == {}
    assert not root.exists()


async def test_what_is_on_disk_can_be_counted_and_removed_by_model(tmp_path: Path) -> None:
    cache = folder(tmp_path)
    kept(tmp_path, "a.gguf", 10, 20)
    kept(tmp_path, "b.gguf", 5)
    assert await cache.usage() == {"a.gguf": (2, 30), "b.gguf": (1, 5)}
    assert await cache.clear(["a.gguf"]) == (2, 30)
    assert await cache.clear([]) == (0, 0)
    assert await cache.usage() == {"b.gguf": (1, 5)}


async def test_nothing_is_removed_under_another_service(tmp_path: Path) -> None:
    kept(tmp_path, "a.gguf", 10)
    with FolderLock(tmp_path), pytest.raises(FolderInUse):
        await folder(tmp_path).clear(["a.gguf"])
    assert await folder(tmp_path).clear(["a.gguf"]) == (1, 10)


async def test_removing_leaves_the_folder_to_whoever_had_it(tmp_path: Path) -> None:
    kept(tmp_path, "a.gguf", 10)
    holder, other = folder(tmp_path), folder(tmp_path)
    await holder.claim()
    await holder.clear(["a.gguf"])
    assert (await other.claim()).refused
    holder.release()
    await other.clear(["a.gguf"])
    assert not (await holder.claim()).refused
