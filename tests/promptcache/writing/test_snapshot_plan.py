"""What of a snapshot is written: what no block holds, in whole pages, and nothing twice."""

from __future__ import annotations

import random

import pytest

from app.promptcache import PageIndex, Snapshot, follow, pack
from app.promptcache.writing.snapshot_plan import SnapshotRows, Span, missing_spans
from tests.promptcache.stores import snapshot_of, words

TOKENS = words(0, 200)
LARGE = 10**9


def index_of(*blocks: tuple[list[int], int, int | None]) -> PageIndex:
    index = PageIndex()
    for at, (tokens, start, window_start) in enumerate(blocks):
        index.add(str(at), pack(tokens), start, window_start)
    return index


def spans(
    index: PageIndex,
    tokens: list[int],
    start: int = 0,
    *,
    window_start: int | None = None,
    most_bytes: int = LARGE,
) -> list[tuple[int, int, int]] | None:
    snapshot = snapshot_of(tokens, start, window_start=window_start)
    found = missing_spans(pack(tokens), snapshot, index, most_bytes)
    return None if found is None else [(each.start, each.end, each.window_start) for each in found]


def test_all_rows_are_missing_at_first_and_none_at_last() -> None:
    assert spans(PageIndex(), TOKENS) == [(0, 200, 200)]
    assert spans(index_of((TOKENS, 0, None)), TOKENS) == []
    assert spans(index_of((TOKENS, 0, None)), TOKENS[:150]) == []


def test_rows_begin_at_the_page_where_what_is_held_ends() -> None:
    index = index_of((TOKENS[:100], 0, None))
    assert spans(index, TOKENS) == [(96, 200, 200)]
    assert spans(index, TOKENS, 64) == [(96, 200, 200)]
    assert spans(index, TOKENS, 96) == [(96, 200, 200)]
    assert spans(index, TOKENS, 128) is None


def test_gaps_are_filled_and_what_comes_after_them_is_left() -> None:
    index = index_of((TOKENS[:64], 0, None), (TOKENS[:160], 96, None))
    assert spans(index, TOKENS) == [(64, 96, 96), (160, 200, 200)]


def test_other_tokens_before_a_page_make_it_another_page() -> None:
    index = index_of(([7, *TOKENS[1:]], 0, None))
    assert spans(index, TOKENS) == [(0, 200, 200)]


def test_pages_are_cut_evenly() -> None:
    assert spans(PageIndex(), TOKENS, most_bytes=40 * 32 * 4) == [(0, 128, 128), (128, 200, 200)]
    n_pages = [end - start for start, end, _ in spans(PageIndex(), TOKENS, most_bytes=1) or ()]
    assert n_pages == [32] * 6 + [8], "a block has one page at least"


def test_rows_whose_window_rows_are_missing_are_written_again() -> None:
    index = index_of((TOKENS, 0, 180))
    assert spans(index, TOKENS[:150], 96, window_start=110) == [(96, 150, 110)]
    assert spans(index, TOKENS, 128, window_start=180) == []
    assert spans(index, TOKENS, 128, window_start=150) == [(128, 192, 150)]
    assert spans(index, TOKENS[:150]) == [], "without a window they are not needed"


def test_a_state_alone_needs_no_block() -> None:
    snapshot = Snapshot(200, 200, b"", 200, b"", b"state")
    assert missing_spans(pack(TOKENS), snapshot, index_of((TOKENS, 0, None)), LARGE) == []
    assert missing_spans(pack(TOKENS), snapshot, PageIndex(), LARGE) is None


def test_rows_are_taken_without_a_copy() -> None:
    snapshot = Snapshot(64, 32, bytearray(range(64)), 60, memoryview(b"abcdefgh"), None)
    rows = SnapshotRows(snapshot)
    assert (rows.token_bytes, rows.window_token_bytes) == (2, 2)
    body = rows.body(Span(32, 62, 61))
    assert bytes(body.rows) == bytes(range(60))
    assert bytes(body.window_rows) == b"cd"
    assert isinstance(body.rows, memoryview)
    assert body.rows.obj is snapshot.rows


@pytest.mark.parametrize("seed", range(5))
def test_at_random_what_is_written_completes_the_chain(seed: int) -> None:
    dice = random.Random(seed)
    index, lists = PageIndex(), [words(9, 50)]
    for at in range(60):
        base = dice.choice(lists)
        tokens = base[: dice.randrange(1, len(base) + 1)] + [
            dice.randrange(3) for _ in range(dice.randrange(90))
        ]
        lists.append(tokens)
        for start, end, window_start in spans(index, tokens, most_bytes=40 * 32 * 3) or ():
            assert start % 32 == 0
            assert end - start <= 96
            index.add(f"{at}/{start}", pack(tokens[:end]), start, window_start)
        assert follow(pack(tokens), [index])[-1].end == len(tokens)
        assert spans(index, tokens) == []
        if dice.random() < 0.3:
            index.remove(dice.choice(list(index._traces)))
