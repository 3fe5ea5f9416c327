"""The index: the longest shared prefix is found by work that the prompt alone decides."""

from __future__ import annotations

import random

import pytest

from app.promptcache.entries.prefix_index import BLOCK_TOKENS, MAX_CANDIDATES, PrefixIndex
from app.promptcache.token_bytes import n_shared, pack, unpack
from tests.promptcache.stores import words

BLOCK = list(range(BLOCK_TOKENS))


def make_index(**entries: list[int]) -> PrefixIndex:
    index = PrefixIndex()
    for entry_id, tokens in entries.items():
        index.add(entry_id, pack(tokens))
    return index


def test_the_deepest_shared_block_decides() -> None:
    index = make_index(a=BLOCK + BLOCK, b=BLOCK + words(1, 64), c=words(2))
    assert index.deepest(pack([*BLOCK, *words(1, 40), 7])) == (2 * BLOCK_TOKENS, ["b"])
    n_tokens, ids = index.deepest(pack([*BLOCK, 7]))
    assert n_tokens == BLOCK_TOKENS
    assert set(ids) == {"a", "b"}
    assert index.deepest(pack(words(3))) == (0, [])


def test_the_same_block_after_another_beginning_is_another_block() -> None:
    index = make_index(a=words(1, 32) + BLOCK)
    assert index.deepest(pack(words(2, 32) + BLOCK)) == (0, [])
    assert index.deepest(pack(BLOCK)) == (0, [])


def test_entries_and_prompts_shorter_than_a_block_are_not_found() -> None:
    index = make_index(short=BLOCK[:-1], long=BLOCK)
    assert index.deepest(pack(BLOCK[:-1])) == (0, [])
    assert index.deepest(pack(BLOCK)) == (BLOCK_TOKENS, ["long"])
    index.remove("short")


def test_a_removed_entry_leaves_nothing_behind() -> None:
    index = make_index(a=BLOCK + BLOCK, b=BLOCK)
    index.remove("a")
    assert index.deepest(pack(BLOCK + BLOCK)) == (BLOCK_TOKENS, ["b"])
    index.remove("b")
    index.remove("b")
    assert index.deepest(pack(BLOCK)) == (0, [])
    assert list(index.prefixes_of(pack(BLOCK + BLOCK))) == []


def test_whole_entries_come_the_longest_first() -> None:
    index = make_index(
        block=BLOCK,
        tail=[*BLOCK, 1, 2, 3],
        other_tail=[*BLOCK, 9],
        two=BLOCK + BLOCK,
        longer=[*BLOCK, *BLOCK, 5, 6],
    )
    assert list(index.prefixes_of(pack([*BLOCK, 1, 2, 3, 4]))) == ["tail", "block"]
    assert list(index.prefixes_of(pack([*BLOCK, *BLOCK, 5]))) == ["two", "block"]
    assert list(index.prefixes_of(pack([*BLOCK, *BLOCK, 5, 6]))) == ["longer", "two", "block"]
    assert list(index.prefixes_of(pack(BLOCK[:-1]))) == []


def test_of_many_candidates_the_most_recent_ones_are_given() -> None:
    index = make_index(**{f"e{i}": [*BLOCK, i] for i in range(100)})
    _, ids = index.deepest(pack([*BLOCK, 999]))
    assert len(ids) <= 2 * MAX_CANDIDATES
    assert ids[0] == "e99"
    index.refresh("e3")
    assert index.deepest(pack([*BLOCK, 999]))[1][0] == "e3"


def test_an_entry_that_ends_at_the_branch_is_given_however_many_go_on() -> None:
    index = make_index(boundary=[*BLOCK, 1])
    for i in range(100):
        index.add(f"e{i}", pack([*BLOCK, 1, *words(i)]))
    assert "boundary" in index.deepest(pack([*BLOCK, 1, 2]))[1]


@pytest.mark.parametrize("whole", [False, True])
def test_the_work_does_not_grow_with_the_number_of_entries(whole: bool) -> None:
    def probes(n_entries: int) -> int:
        index = PrefixIndex()
        shared = words(0, 320)
        for i in range(n_entries):
            index.add(str(i), pack([*shared, *words(i + 1, 64)]))
        prompt = pack([*shared, *words(5, 64), *words(9, 320)])
        before = index.n_probes
        if whole:
            list(index.prefixes_of(prompt))
        else:
            index.deepest(prompt)
        return index.n_probes - before

    assert probes(10) == probes(10_000)


def test_random_lists_are_found_as_a_search_through_all_would() -> None:
    dice = random.Random(5)
    lists = [[dice.randrange(2) for _ in range(dice.randrange(200))] for _ in range(40)]
    lists += [[*lists[i], *lists[i + 1]] for i in range(30)]
    index = make_index(**{str(i): tokens for i, tokens in enumerate(lists)})
    for prompt in [*lists, *([*left, 1, 0, *right] for left in lists[:9] for right in lists[:9])]:
        shared = [n_shared(pack(tokens), pack(prompt)) for tokens in lists]
        best = max(n // BLOCK_TOKENS for n in shared) * BLOCK_TOKENS
        assert index.deepest(pack(prompt))[0] == best
        whole = {
            str(i)
            for i, tokens in enumerate(lists)
            if shared[i] == len(tokens) and len(tokens) >= BLOCK_TOKENS
        }
        assert set(index.prefixes_of(pack(prompt))) == whole


def test_packing_keeps_tokens() -> None:
    tokens = [0, 1, 151_935, 2**31 - 1, -1]
    assert unpack(pack(tokens)) == tokens
    assert pack([1]) == b"\x01\0\0\0"
    assert n_shared(pack([1, 2, 3]), pack([1, 2, 4, 5])) == 2
    assert n_shared(pack([1]), b"") == 0
    # The first bytes of two different tokens may be the same.
    assert n_shared(pack([256]), pack([0])) == 0
