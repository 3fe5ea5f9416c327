"""Blocks are found by the pages they hold, through several indexes at once."""

from __future__ import annotations

import hashlib
import random

import pytest

from app.promptcache.page_index import PAGE_TOKENS, EndIndex, Link, PageIndex, follow
from app.promptcache.token_bytes import pack


def index_of(**blocks: tuple[list[int], int]) -> PageIndex:
    index = PageIndex()
    for block_id, (tokens, start) in blocks.items():
        index.add(block_id, pack(tokens), start)
    return index


TOKENS = list(range(100))


def test_nothing_is_found_in_an_empty_index() -> None:
    assert follow(pack(TOKENS), [PageIndex()]) == []


def test_a_block_is_found_up_to_the_token_where_a_prompt_leaves_it() -> None:
    index = index_of(a=(TOKENS, 0))

    assert follow(pack([*TOKENS[:70], 999]), [index]) == [Link(0, "a", 0, 70)]
    assert follow(pack([*TOKENS, 999]), [index]) == [Link(0, "a", 0, 100)]
    assert follow(pack(TOKENS[:10]), [index]) == [Link(0, "a", 0, 10)]


def test_blocks_follow_each_other() -> None:
    index = index_of(a=(TOKENS[:70], 0), b=(TOKENS, 64))

    assert follow(pack(TOKENS), [index]) == [Link(0, "a", 0, 64), Link(0, "b", 64, 100)]


def test_a_block_whose_beginning_is_missing_is_not_found() -> None:
    index = index_of(b=(TOKENS, 64))

    assert follow(pack(TOKENS), [index]) == []


def test_the_first_index_goes_before_the_others_and_they_fill_its_gaps() -> None:
    memory = index_of(a=(TOKENS[:32], 0), c=(TOKENS, 64))
    disk = index_of(b=(TOKENS[:80], 0))

    assert follow(pack(TOKENS), [memory, disk]) == [
        Link(0, "a", 0, 32),
        Link(1, "b", 32, 64),
        Link(0, "c", 64, 100),
    ]


def test_blocks_of_other_tokens_before_them_are_not_mixed_up() -> None:
    other = [7, *TOKENS[1:]]
    index = index_of(a=(TOKENS[:32], 0), b=(other, 32))

    assert follow(pack(TOKENS), [index]) == [Link(0, "a", 0, 32)]


def test_a_removed_block_leaves_nothing_behind() -> None:
    index = index_of(a=(TOKENS, 0))
    index.remove("a")
    index.remove("a")

    assert follow(pack(TOKENS), [index]) == []
    assert "a" not in index
    assert not index._whole
    assert not index._after


def test_the_most_recent_of_two_blocks_gives_the_page() -> None:
    index = index_of(a=(TOKENS, 0), b=(TOKENS[:64], 32))

    assert follow(pack(TOKENS), [index]) == [
        Link(0, "a", 0, 32),
        Link(0, "b", 32, 64),
        Link(0, "a", 64, 100),
    ]
    index.refresh("a")
    assert follow(pack(TOKENS), [index]) == [Link(0, "a", 0, 100)]


def test_a_block_knows_whether_others_go_on_from_it() -> None:
    index = index_of(a=(TOKENS[:70], 0), b=(TOKENS, 64))

    assert index.has_more_after("a")
    assert not index.has_more_after("b")
    assert index.goes_on_from("b")
    index.remove("a")
    assert not index.goes_on_from("b")


@pytest.mark.parametrize("start", [1, PAGE_TOKENS - 1, 100, 128, -32])
def test_a_block_begins_at_a_page(start: int) -> None:
    with pytest.raises(ValueError, match="begins at"):
        PageIndex().add("a", pack(TOKENS), start)


def test_random_blocks_give_what_comparing_all_of_them_gives() -> None:
    rng = random.Random(1)
    for _ in range(200):
        lists: list[list[int]] = []
        index = PageIndex()
        for at in range(rng.randrange(1, 6)):
            base = rng.choice(lists) if lists and rng.random() < 0.8 else []
            kept = base[: rng.randrange(len(base) + 1)]
            tokens = kept + [rng.randrange(3) for _ in range(rng.randrange(1, 90))]
            lists.append(tokens)
            index.add(str(at), pack(tokens), 0)
        chosen = rng.choice(lists)
        prompt = chosen[: rng.randrange(len(chosen)) + 1] + [rng.randrange(3)] * 3
        longest = max(
            next(
                (i for i, pair in enumerate(zip(t, prompt, strict=False)) if pair[0] != pair[1]),
                min(len(t), len(prompt)),
            )
            for t in lists
        )
        links = follow(pack(prompt), [index])
        assert (links[-1].end if links else 0) == longest
        assert [link.start for link in links] == [0, *(link.end for link in links[:-1])][
            : len(links)
        ]


def test_what_belongs_to_tokens_is_found_where_they_lead_a_prompt() -> None:
    index = EndIndex()
    for length in (5, 32, 40, 64, 70):
        index.add(str(length), pack(TOKENS[:length]))
    index.add("other", pack([7] * 40))

    assert list(index.prefixes_of(pack(TOKENS[:69]))) == ["64", "40", "32", "5"]
    index.remove("40")
    index.remove("40")
    assert list(index.prefixes_of(pack(TOKENS))) == ["70", "64", "32", "5"]
    assert list(index.prefixes_of(pack([7] * 41))) == ["other"]
    assert list(index.prefixes_of(pack(TOKENS[:4]))) == []


# ---------------------------------------------------------------- window rows


def test_of_several_blocks_the_one_with_window_rows_gives_the_page() -> None:
    index = PageIndex()
    index.add("has", pack(TOKENS[:70]), 0, 0)
    index.add("lacks", pack(TOKENS), 0, 90)

    assert follow(pack(TOKENS), [index]) == [Link(0, "has", 0, 64), Link(0, "lacks", 64, 100)]
    assert follow(pack(TOKENS[:67]), [index]) == [Link(0, "has", 0, 67)]
    index.refresh("lacks")
    assert follow(pack(TOKENS[:67]), [index]) == [Link(0, "has", 0, 67)]


def test_an_index_with_window_rows_goes_before_one_without() -> None:
    memory, disk = PageIndex(), PageIndex()
    memory.add("m", pack(TOKENS), 0, 96)
    disk.add("d", pack(TOKENS[:64]), 0, 32)

    assert follow(pack(TOKENS[:64]), [memory, disk]) == [Link(0, "m", 0, 32), Link(1, "d", 32, 64)]


# ---------------------------------------------------------------- work


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the pages that are hashed from now on."""
    pages: list[bytes] = []

    def count(data: bytes, digest_size: int) -> object:
        pages.append(data)
        return hashlib.blake2b(data, digest_size=digest_size)

    monkeypatch.setattr("app.promptcache.page_index.blake2b", count)
    return pages


def test_the_work_of_a_look_up_does_not_grow_with_the_blocks(hashed: list[bytes]) -> None:
    prompt = list(range(4000))
    work = []
    for n_conversations in (1, 40):
        index = PageIndex()
        for conversation in range(n_conversations):
            tokens = prompt[:500] + [conversation * 10_000 + at for at in range(3500)]
            for end in range(500, 4000, 70):
                index.add(f"{conversation}/{end}", pack(tokens[:end]), (end - 70) // 32 * 32)
        hashed.clear()
        follow(pack(prompt), [index])
        work.append(len(hashed))
    assert work[0] == work[1] <= len(prompt) // PAGE_TOKENS


def test_a_block_that_goes_on_from_the_latest_one_is_hashed_from_there_on(
    hashed: list[bytes],
) -> None:
    tokens = list(range(4000))
    index = PageIndex()
    for end in range(500, 4000, 70):
        index.add(str(end), pack(tokens[:end]), 0 if end == 500 else (end - 70) // 32 * 32)
    assert len(hashed) == 3930 // PAGE_TOKENS
    for end in reversed(range(500, 4000, 70)):
        index.add(str(end), pack(tokens[:end]), 0 if end == 500 else (end - 70) // 32 * 32)
    assert len(hashed) == 3930 // PAGE_TOKENS
    assert follow(pack(tokens), [index])[-1].end == 3930
