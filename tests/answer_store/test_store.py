"""The store never fails its callers: what is damaged moves aside, what cannot be kept is not."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.answer_store.records import StoredAnswer
from app.answer_store.store import FILE_NAME, AnswerStore
from app.parameters.answers import StoreParams

OWNER = "kitchen"
N_FILLED = 24
PAGE_BYTES = 4096


@asynccontextmanager
async def opened(
    folder: Path,
    params: StoreParams = StoreParams(),  # noqa: B008  # it cannot change
) -> AsyncIterator[AnswerStore]:
    store = AnswerStore(folder, params)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def stored(number: int, size: int = 20) -> StoredAnswer:
    text = json.dumps({"n": number, "text": random.Random(number).randbytes(size).hex()}).encode()
    previous = str(number - 1) if number else None
    return StoredAnswer(
        id=str(number), previous=previous, answer=text, request=b"[]", item_ids=[f"item{number}"]
    )


async def test_answers_are_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(3):
            assert await store.put(OWNER, stored(number))
    async with opened(tmp_path) as store:
        found, gone = await store.chain(OWNER, "2")
        assert ([each.id for each in found], gone) == (["0", "1", "2"], None)
        (found_by_item,) = await store.with_items(OWNER, ["item1"])
        assert found_by_item.answer == stored(1).answer
        assert await store.delete(OWNER, "1")
        assert await store.get(OWNER, "1") is None


async def test_no_file_is_made_before_something_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await store.get(OWNER, "1") is None
        assert await store.chain(OWNER, "1") == ([], "1")
        assert files(tmp_path) == []


async def test_without_room_nothing_is_kept_and_the_file_goes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put(OWNER, stored(1))
    async with opened(tmp_path, StoreParams(responses_max_mb=0)) as store:
        assert not store.is_enabled
        assert not await store.put(OWNER, stored(2))
        assert await store.get(OWNER, "1") is None
    assert files(tmp_path) == []


async def test_many_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert all(await asyncio.gather(*(store.put(OWNER, stored(n)) for n in range(50))))
        found = await asyncio.gather(*(store.get(OWNER, str(n)) for n in range(50)))
        assert [each and each.answer for each in found] == [stored(n).answer for n in range(50)]


# ---------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with pages of every kind: small and large texts, free pages, indexes."""
    folder = tmp_path_factory.mktemp("filled")

    async def fill() -> None:
        async with opened(folder) as store:
            for number in range(N_FILLED):
                await store.put(OWNER, stored(number, size=random.Random(number).choice([9, 9000])))
            for number in range(0, N_FILLED // 2, 3):
                await store.delete(OWNER, str(number))

    asyncio.run(fill())
    return folder / FILE_NAME


def n_pages(path: Path) -> int:
    return path.stat().st_size // PAGE_BYTES


async def check_all(folder: Path) -> None:
    """Check that what is found is right, and that the store goes on."""
    async with opened(folder) as store:
        for number in range(N_FILLED):
            found = await store.get(OWNER, str(number))
            assert found is None or (found.answer, found.previous) == (
                stored(number, size=random.Random(number).choice([9, 9000])).answer,
                stored(number).previous,
            )
        assert await store.put(OWNER, stored(100))
        found = await store.get(OWNER, "100")
        assert found is not None
        assert found.answer == stored(100).answer


def damage(path: Path, page: int, kind: str) -> None:
    """Overwrite a page, or change one bit of it."""
    numbers, data = random.Random(page), bytearray(path.read_bytes())
    place = slice(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
    match kind:
        case "zeros":
            data[place] = bytes(PAGE_BYTES)
        case "noise":
            data[place] = numbers.randbytes(PAGE_BYTES)
        case _:
            data[place.start + numbers.randrange(PAGE_BYTES)] ^= 1 << numbers.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["zeros", "noise", "bit"])
async def test_a_damaged_page_of_whatever_kind_yields_no_wrong_answer(
    filled: Path, tmp_path: Path, kind: str
) -> None:
    for page in range(n_pages(filled)):
        folder = tmp_path / str(page)
        folder.mkdir()
        damage(Path(shutil.copy(filled, folder)), page, kind)
        await check_all(folder)
        shutil.rmtree(folder)


async def test_a_cut_file_yields_no_wrong_answer(filled: Path, tmp_path: Path) -> None:
    n_bytes = n_pages(filled) * PAGE_BYTES
    for size in (0, 1, 100, PAGE_BYTES, n_bytes // 2, n_bytes - 1):
        folder = tmp_path / str(size)
        folder.mkdir()
        path = Path(shutil.copy(filled, folder))
        os.truncate(path, size)
        await check_all(folder)


async def test_a_file_that_is_damaged_while_it_is_used_moves_aside(
    filled: Path, tmp_path: Path
) -> None:
    shutil.copy(filled, tmp_path)
    async with opened(tmp_path) as store:
        for page in range(n_pages(filled)):
            damage(tmp_path / FILE_NAME, page, "noise")
        for number in range(N_FILLED):
            await store.get(OWNER, str(number))
        assert await store.put(OWNER, stored(100))
        assert await store.get(OWNER, "100") is not None


# ---------------------------------------------------------------- no room


async def test_a_full_disk_is_told_once_and_the_next_answers_are_kept_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as store:
        assert await store.put(OWNER, stored(1))

        def limit(n_pages: int) -> None:
            assert store._table is not None
            store._table._connection.execute(f"PRAGMA max_page_count = {n_pages}")

        await store._in_thread(limit, 1)
        for number in (2, 3):
            assert not await store.put(OWNER, stored(number, size=50_000))
        assert await store.get(OWNER, "1") is not None
        await store._in_thread(limit, 100_000)
        assert await store.put(OWNER, stored(2, size=50_000))


async def test_a_folder_that_cannot_be_written_to_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with opened(tmp_path / "file") as store:
        assert not await store.put(OWNER, stored(1))
        assert await store.get(OWNER, "1") is None


async def test_a_file_of_another_service_is_left_to_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as first, opened(tmp_path) as second:
        assert await first.put(OWNER, stored(1))
        assert not await second.put(OWNER, stored(2))
        assert await second.get(OWNER, "1") is None
        assert await first.put(OWNER, stored(3))
    async with opened(tmp_path) as store:
        assert await store.get(OWNER, "1") is not None
