"""Blocks and states in memory: shared once, within the budget, the least used make room."""

from __future__ import annotations

from app.engine.kv.memory_store import MemoryState, MemoryStore
from app.engine.kv.state_shape import StateShape
from app.promptcache import Link, pack
from app.protocol import KindCounts
from tests.engine.kv.snapshots import snapshot_of

ROWS = StateShape(token_bytes=1)
WITH_STATES = StateShape(token_bytes=1, state_bytes=64)
WITH_WINDOW = StateShape(token_bytes=1, window_token_bytes=2, n_window=40)
A = [number % 200 for number in range(100)]
B = [*A[:64], *[7] * 36]


def put(
    store: MemoryStore, tokens: list[int], start: int = 0, *, n_head: int = 0, state: bool = False
) -> None:
    snapshot = snapshot_of(tokens, start, with_state=state)
    victims = store.victims(store.cost(snapshot), store.chain(tokens[:start]))
    assert victims is not None
    store.drop(victims)
    store.put(pack(tokens), snapshot, n_head)


def held(store: MemoryStore, tokens: list[int]) -> int:
    links = store.chain(tokens)
    return links[-1].end if links else 0


def test_a_prompt_finds_the_blocks_that_begin_it() -> None:
    store = MemoryStore(10_000, ROWS)
    put(store, A)
    put(store, B, 64)
    assert held(store, A) == held(store, B) == 100
    assert held(store, [*A[:80], 9]) == 80
    assert len(store) == 2, "the shared beginning is kept once"


def test_blocks_end_where_the_head_does_and_where_they_would_be_too_large() -> None:
    store = MemoryStore(10_000, ROWS, max_block_bytes=32)
    put(store, A, n_head=64)
    assert [(block.start, block.end) for block in store.blocks()] == [
        (0, 32),
        (32, 64),
        (64, 96),
        (96, 100),
    ]
    assert [block.is_head for block in store.blocks()] == [True, True, False, False]


def test_window_rows_lie_with_the_tokens_that_they_are_of() -> None:
    store = MemoryStore(10_000, WITH_WINDOW, max_block_bytes=96)
    store.put(pack(A), snapshot_of(A, n_window=40))
    for block in store.blocks():
        assert bytes(block.rows) == bytes(A[block.start : block.end])
        assert block.window_start == min(max(block.start, 60), block.end)
        windows = bytes(t for t in A[block.window_start : block.end] for _ in range(2))
        assert bytes(block.window_rows) == windows


def test_what_was_not_used_for_longest_makes_room_ends_before_beginnings() -> None:
    store = MemoryStore(2200, ROWS, max_block_bytes=64)
    put(store, A)
    put(store, [1] * 100)
    store.mark_used(store.chain(A))
    put(store, [2] * 100)
    assert held(store, A) == 100
    assert held(store, [1] * 100) < 100
    assert held(store, [2] * 100) == 100
    assert store.n_bytes <= 2200


def test_heads_go_last() -> None:
    store = MemoryStore(1400, ROWS)
    put(store, A, n_head=96)
    for token in range(1, 9):
        put(store, [token] * 100)
    assert held(store, A) == 96


def test_what_a_new_block_goes_on_from_stays() -> None:
    store = MemoryStore(1600, ROWS)
    put(store, A)
    put(store, [1] * 100)
    put(store, [*A, *[3] * 20], 96)
    assert held(store, [*A, *[3] * 20]) == 120


def test_what_does_not_fit_beside_its_own_beginning_has_no_room() -> None:
    store = MemoryStore(1000, ROWS)
    put(store, A)
    assert store.victims(900, store.chain(A)) is None
    assert store.victims(900) == store.blocks()


def test_a_conversation_keeps_its_last_states_and_the_one_of_its_head() -> None:
    store = MemoryStore(10_000, WITH_STATES)
    for length in range(40, 100, 10):
        put(store, A[:length], length // 32 * 32, n_head=40, state=True)
    assert [state.end for state in store.states_of(pack(A))] == [90, 80, 70, 40]


def test_a_state_is_found_where_its_tokens_lead_a_prompt() -> None:
    store = MemoryStore(100_000, WITH_STATES)
    put(store, A[:50], state=True)
    assert [state.end for state in store.states_of(pack(A))] == [50]
    assert list(store.states_of(pack(A[:49]))) == []
    assert list(store.states_of(pack([*A[:49], 5]))) == []


def test_a_state_that_is_saved_again_is_kept_once() -> None:
    store = MemoryStore(100_000, WITH_STATES)
    put(store, A[:50], state=True)
    put(store, A[:50], 32, n_head=50, state=True)
    assert [state.is_head for state in store.states()] == [True]


def test_bytes_are_counted_until_they_are_dropped() -> None:
    store = MemoryStore(100_000, WITH_STATES)
    put(store, A, state=True)
    assert store.n_bytes == (100 + 400) + (64 + 400)
    everything: list[object] = [*store.blocks(), *store.states()]
    assert any(isinstance(each, MemoryState) for each in everything)
    assert store.kinds() == KindCounts(blocks=1, block_bytes=500, states=1, state_bytes=464)
    store.drop(store.states())
    assert store.kinds() == KindCounts(blocks=1, block_bytes=500)
    put(store, A, 96, state=True)
    store.clear()
    assert store.kinds() == KindCounts()
    put(store, A, state=True)
    store.drop([*store.blocks(), *store.states()])
    assert (store.n_bytes, len(store), store.chain(A)) == (0, 0, [])


def test_links_of_other_tiers_are_not_counted_as_uses() -> None:
    store = MemoryStore(1000, ROWS)
    put(store, A)
    store.mark_used([Link(1, "nowhere", 0, 10)], object())
    assert held(store, A) == 100


def test_the_prompt_that_is_most_alike_is_told() -> None:
    store = MemoryStore(10_000, ROWS)
    assert list(store.like(A)) == []
    put(store, A)
    put(store, [1] * 50)
    assert list(store.like([*A[:50], 9])) == [pack(A)]
    assert list(store.like([9])) == [pack([1] * 50)], "the latest where none is"


def test_rows_leave_after_what_is_of_no_use_without_them() -> None:
    """A longer block holds the beginning of a shorter prompt, whose end is kept of its own."""
    store = MemoryStore(100_000, StateShape(1, 2, n_window=8, state_bytes=64))
    store.put(pack(A), snapshot_of(A))
    store.put(pack(A[:40]), snapshot_of(A[:40], 32, n_window=8, with_state=True))
    victims = store.victims(store.capacity_bytes) or []
    assert [type(each).__name__ for each in victims] == [
        "MemoryState",
        "MemoryBlock",
        "MemoryBlock",
    ]
    assert [each.end for each in victims] == [40, 40, 100]
