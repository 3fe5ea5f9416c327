"""What makes room for what: the useless first, ends before beginnings, heads last, pinned never."""

from __future__ import annotations

import os

import pytest

from app.promptcache import DiskStore
from tests.promptcache.stores import Bench, keep, put, restored, snapshot_of, words

HEAD = words(0, 96)
ROW_BYTES = 100
FRONT_BYTES = 900
"""A header and some tokens."""


def conversation(seed: int, n_turns: int, head: list[int] = HEAD) -> list[int]:
    return [*head, *words(seed, 64 * n_turns)]


def talk(store: DiskStore, seed: int, n_turns: int, head: list[int] = HEAD) -> None:
    """Keep a conversation turn by turn."""
    for n in range(1, n_turns + 1):
        assert keep(store, conversation(seed, n, head), row_bytes=ROW_BYTES)


def n_kept(store: DiskStore, tokens: list[int]) -> int:
    return restored(store, tokens, ROW_BYTES)


def size_of(bench: Bench) -> int:
    return sum(path.stat().st_size for path in (bench.root / "model.gguf").iterdir())


def test_a_conversation_loses_its_end_before_its_beginning(bench: Bench) -> None:
    store = bench.open()
    talk(store, 1, 4)
    full = conversation(1, 4)
    lengths = []
    for seed in range(2, 6):
        store.set_capacity(size_of(bench) + 1000)
        keep(store, words(seed, 64), row_bytes=ROW_BYTES)
        lengths.append(n_kept(bench.open(), full))
    assert lengths == [288, 224, 160, 0]


def test_what_was_not_used_longest_goes_first_whole_conversations_at_a_time(bench: Bench) -> None:
    store = bench.open()
    for seed in (1, 2, 3):
        talk(store, seed, 2, head=words(seed + 50, 96))
    first = conversation(1, 2, head=words(51, 96))
    store.mark_used(link.block_id for link in store.chain(first))
    store.set_capacity(size_of(bench))
    keep(store, words(9, 160), row_bytes=ROW_BYTES)
    kept = [n_kept(store, conversation(seed, 2, head=words(seed + 50, 96))) for seed in (1, 2, 3)]
    assert kept[0] == kept[2] == 224
    assert kept[1] < 224


def test_a_shared_head_stays_as_long_as_a_conversation_goes_on_from_it(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD, row_bytes=ROW_BYTES)
    for seed in (1, 2, 3):
        talk(store, seed, 1)
    store.set_capacity(size_of(bench) - 1)
    keep(store, words(9, 64), row_bytes=ROW_BYTES)
    assert n_kept(store, HEAD) == 96
    assert n_kept(store, conversation(3, 1)) == 160


def test_heads_go_last(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD, role="boundary", row_bytes=ROW_BYTES)
    for seed in range(1, 5):
        assert keep(store, words(seed, 96), row_bytes=ROW_BYTES)
    store.set_capacity(size_of(bench))
    for seed in range(5, 20):
        assert keep(store, words(seed, 96), row_bytes=ROW_BYTES)
    assert n_kept(bench.open(), HEAD) == 96


def test_heads_that_take_more_than_half_of_the_space_are_no_better_than_others(
    bench: Bench,
) -> None:
    store = bench.open()
    for seed in range(8):
        assert keep(store, words(seed, 96), role="boundary", row_bytes=ROW_BYTES)
    store.set_capacity(size_of(bench))
    for seed in range(8, 12):
        assert keep(store, words(seed, 96), row_bytes=ROW_BYTES)
    heads = [n_kept(store, words(seed, 96)) for seed in range(8)]
    assert heads == [0] * 4 + [96] * 4


def test_blocks_whose_beginning_is_missing_go_first_and_their_states_too(bench: Bench) -> None:
    store = bench.open()
    keep(store, words(9, 96), row_bytes=ROW_BYTES)
    talk(store, 1, 1, head=[])
    assert keep(store, conversation(1, 3, head=[]), state=b"s" * 500, row_bytes=ROW_BYTES)
    root = store.chain(conversation(1, 1, head=[]))[0]
    (bench.root / "model.gguf" / f"{root.block_id}.kv").unlink()
    store = bench.open()
    store.set_capacity(size_of(bench))
    assert store.status().n_states == 1
    assert keep(store, words(8, 140), row_bytes=ROW_BYTES)
    assert n_kept(store, words(9, 96)) == 96
    assert store.status().n_blocks == 2
    assert store.status().n_states == 0


def test_a_state_stays_until_the_later_one_is_there(bench: Bench) -> None:
    """The process may end in between."""
    store = bench.open()
    keep(store, words(9, 96), row_bytes=ROW_BYTES)
    keep(store, conversation(1, 1), state=bytes(9000), row_bytes=ROW_BYTES)
    store.set_capacity(size_of(bench) + 9000)
    seen: list[bool] = []

    def look() -> None:
        seen.append(bench.open().has_state(conversation(1, 1)))

    tokens = conversation(1, 2)
    snapshot = snapshot_of(tokens, 160, state=bytes(9000), row_bytes=ROW_BYTES)
    assert store.write_snapshot(tokens, snapshot, drops_older=True, throttle=look)
    assert seen
    assert all(seen)
    assert n_kept(store, conversation(1, 2)) == 224
    assert not store.has_state(conversation(1, 1))


def test_what_is_written_does_not_evict_what_it_goes_on_from(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD, row_bytes=ROW_BYTES)
    keep(store, words(9, 96), row_bytes=ROW_BYTES)
    store.set_capacity(size_of(bench))
    assert keep(store, conversation(1, 1), row_bytes=ROW_BYTES)
    assert n_kept(store, conversation(1, 1)) == 160
    assert not keep(store, conversation(1, 9), row_bytes=ROW_BYTES), "the others are not enough"
    assert n_kept(store, conversation(1, 1)) == 160


def test_the_order_outlives_a_restart_and_a_clock_that_is_set_back(bench: Bench) -> None:
    store = bench.open()
    talk(store, 1, 3)
    bench.clock.now_s -= 1_000_000
    store = bench.open()
    talk(store, 2, 3, head=words(60, 96))
    store.mark_used(link.block_id for link in store.chain(conversation(1, 3)))
    store = bench.open()
    store.set_capacity(size_of(bench))
    keep(store, words(9, 64), row_bytes=ROW_BYTES)
    assert n_kept(store, conversation(1, 3)) == 288
    assert n_kept(store, conversation(2, 3, head=words(60, 96))) == 224


def test_times_in_any_order_never_break_a_chain(bench: Bench) -> None:
    """The times of files are those of a card whose clock was wrong."""
    talk(bench.open(), 1, 4)
    paths = sorted((bench.root / "model.gguf").iterdir())
    for at, path in enumerate(paths):
        os.utime(path, (at * 1000.0, at * 1000.0))
    store = bench.open()
    lengths = []
    for seed in range(2, 6):
        store.set_capacity(size_of(bench) - 100)
        keep(store, words(seed, 32), row_bytes=ROW_BYTES)
        lengths.append(n_kept(store, conversation(1, 4)))
        assert not store._model_folder.table.unreachable()
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 352


# ---------------------------------------------------------------- pinned chains


def test_a_profile_pins_the_blocks_and_the_state_of_its_tokens(bench: Bench) -> None:
    store = bench.open()
    talk(store, 1, 1)
    assert keep(store, HEAD, 64, state=b"head", profile="kitchen", row_bytes=ROW_BYTES)
    assert not keep(store, HEAD, 64, state=b"head", profile="kitchen", row_bytes=ROW_BYTES)
    for each in (store, bench.open()):
        each.set_capacity(size_of(bench))
        for seed in range(2, 9):
            keep(each, words(seed, 64), row_bytes=ROW_BYTES)
        assert n_kept(each, HEAD) == 96
        assert each.has_state(HEAD)
        (link,) = each.chain(HEAD)
        info = each.block(link.block_id)
        assert info is not None
        assert info.profile == "kitchen"
    store = bench.open(capacity_bytes=1)
    assert n_kept(store, HEAD) == 96
    assert store.has_state(HEAD)


def test_what_no_profile_needs_any_more_is_unpinned(bench: Bench) -> None:
    store = bench.open()
    longer = conversation(1, 1)
    keep(store, HEAD, profile="short", row_bytes=ROW_BYTES)
    keep(store, longer, state=b"s", profile="long", row_bytes=ROW_BYTES)
    assert len([name for name in bench.names() if name.endswith(".pinned.kv")]) == 5
    store.unpin_except({"short": HEAD})
    pinned = {each.n_tokens for each in store.list_entries() if each.is_pinned}
    assert pinned == {96}
    assert n_kept(store, longer) == 160
    store.unpin_except({"other": None})
    assert not [name for name in bench.names() if name.endswith(".pinned.kv")]
    assert {each.role for each in bench.open().list_entries()} == {"boundary"}
    assert n_kept(store, longer) == 160


@pytest.mark.parametrize("call", ["rename", "remove"])
def test_a_disk_that_cannot_be_written_keeps_its_pins(bench: Bench, call: str) -> None:
    store = bench.open()
    keep(store, HEAD, profile="kitchen", row_bytes=ROW_BYTES)
    bench.files.fail(30, call)
    store.unpin_except({})
    assert n_kept(store, HEAD) == 96
    bench.files.fail(0)
    store.unpin_except({})
    assert n_kept(bench.open(), HEAD) == 96
    assert len(bench.names()) == 1


def test_a_power_cut_before_the_blocks_are_pinned_is_made_up_for_at_the_start(
    bench: Bench,
) -> None:
    store = bench.open()
    keep(store, HEAD, profile="kitchen", row_bytes=ROW_BYTES)
    folder = bench.root / "model.gguf"
    (link,) = store.chain(HEAD)
    pinned = folder / f"{link.block_id}.pinned.kv"
    pinned.rename(folder / f"{link.block_id}.kv")
    store = bench.open()
    assert pinned.exists()
    put(store, words(5), n_bytes=100)
    assert bench.notices.lines == []


def test_entries_of_other_models_take_part(bench: Bench) -> None:
    other = bench.open("other.gguf")
    keep(other, words(5, 96), row_bytes=ROW_BYTES)
    keep(other, words(6, 96), profile="kitchen", row_bytes=ROW_BYTES)
    bench.clock.now_s += 10
    store = bench.open()
    talk(store, 1, 1)
    total = size_of(bench) + sum(p.stat().st_size for p in (bench.root / "other.gguf").iterdir())
    store.set_capacity(total)
    assert keep(store, conversation(1, 2), row_bytes=ROW_BYTES)
    assert n_kept(other, words(5, 96)) == 0
    assert n_kept(other, words(6, 96)) == 96
    assert n_kept(store, conversation(1, 2)) == 224
