"""Blocks on the disk: each row is written once, and a prompt gets back exactly its own rows."""

from __future__ import annotations

import random
from errno import EMFILE, ENOSPC, EROFS
from typing import Any

import pytest

from app.promptcache import Link, PageIndex, Snapshot, pack
from tests.promptcache.stores import (
    N_WINDOW,
    TOKEN_ROW_BYTES,
    WINDOW_ROW_BYTES,
    Bench,
    after_calls,
    keep,
    restored,
    rows_of,
    snapshot_of,
    words,
)

HEAD = words(0, 100)
TURN = [*HEAD, *words(1, 50)]
NEXT = [*TURN, *words(2, 30)]


def n_block_bytes(bench: Bench) -> int:
    return sum(path.stat().st_size for path in (bench.root / "model.gguf").iterdir())


# ---------------------------------------------------------------- write and read


def test_rows_are_given_back_as_they_were_also_after_a_restart(bench: Bench) -> None:
    store = bench.open()
    assert keep(store, HEAD)
    for each in (store, bench.open()):
        assert each.chain([*HEAD, 7]) == [Link(1, each.chain(HEAD)[0].block_id, 0, 100)]
        assert restored(each, [*HEAD, 7]) == 100
        assert restored(each, [*HEAD[:70], 7]) == 70
        assert each.n_covered(HEAD) == 100
        assert each.n_covered(words(9)) == 0
    assert bench.notices.lines == []


def test_a_conversation_that_goes_on_adds_rows_from_the_last_page_on(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD)
    assert keep(store, TURN)
    assert keep(store, NEXT, 128)
    spans = [(each.start, each.n_tokens) for each in store.list_entries()]
    assert sorted(spans) == [(0, 100), (96, 150), (128, 180)]
    assert restored(bench.open(), NEXT) == 180


def test_what_is_there_is_not_written_again(bench: Bench) -> None:
    store = bench.open()
    assert keep(store, TURN)
    n_bytes = store.status().written_today_bytes
    assert not keep(store, TURN)
    assert not keep(store, HEAD)
    assert store.status().written_today_bytes == n_bytes
    assert store.status().n_blocks == 1


def test_conversations_share_their_head(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD, role="boundary")
    for seed in range(1, 6):
        assert keep(store, [*HEAD, *words(seed, 50)])
    for seed in range(1, 6):
        assert restored(store, [*HEAD, *words(seed, 50), 3]) == 150
    assert [each.start for each in store.list_entries()].count(0) == 1


def test_rows_whose_beginning_is_missing_are_not_written(bench: Bench) -> None:
    store = bench.open()
    assert not keep(store, TURN, 96)
    assert store.status().n_entries == 0
    keep(store, HEAD)
    assert keep(store, TURN, 96)


def test_blocks_are_no_larger_than_wanted_and_of_whole_pages(bench: Bench) -> None:
    store = bench.open(max_block_bytes=64 * TOKEN_ROW_BYTES)
    assert keep(store, NEXT)
    spans = sorted((each.start, each.n_tokens) for each in store.list_entries())
    assert spans == [(0, 64), (64, 128), (128, 180)]
    assert restored(bench.open(), NEXT) == 180


def test_a_prompt_that_is_too_short_is_not_kept(bench: Bench) -> None:
    store = bench.open(min_tokens=50)
    assert not keep(store, HEAD[:49])
    assert keep(store, HEAD[:50])


@pytest.mark.parametrize(
    "snapshot",
    [
        Snapshot(100, 96, bytes(3), 100, b"", None),
        Snapshot(100, 100, b"x", 100, b"", None),
        Snapshot(100, 101, b"", 100, b"", None),
        Snapshot(100, 0, bytes(100), 98, bytes(1), None),
        Snapshot(100, 33, bytes(67), 100, b"", None),
        Snapshot(99, 0, bytes(99), 99, b"", None),
    ],
)
def test_rows_that_do_not_fit_the_positions_are_refused(bench: Bench, snapshot: Snapshot) -> None:
    store = bench.open()
    with pytest.raises(ValueError, match=r"rows|begins|tokens for"):
        store.write_snapshot(HEAD, snapshot)
    assert bench.names() == []


def test_the_facts_of_a_block_are_known_without_reading_it(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD, role="boundary")
    (link,) = store.chain(HEAD)
    info = store.block(link.block_id)
    assert info is not None
    assert (info.start, info.end, info.window_start, info.role) == (0, 100, 100, "boundary")
    assert info.n_bytes == bench.only_file().stat().st_size
    assert store.block("unknown") is None
    assert store.read_block("unknown") is None
    assert store.block_tokens(link.block_id) == HEAD
    assert store.block_tokens("unknown") is None
    store.mark_used(["unknown"])


def test_the_memory_gives_a_page_before_the_disk_does(bench: Bench) -> None:
    store = bench.open()
    keep(store, TURN)
    memory = PageIndex()
    memory.add("m", pack(TURN[:64]), 0)
    assert [(link.tier, link.start, link.end) for link in store.chain(TURN, memory)] == [
        (0, 0, 64),
        (1, 64, 150),
    ]


def test_the_extra_goes_with_the_last_file_and_comes_back_with_all_tokens(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD)
    keep(store, TURN, extra=b"turn")
    keep(store, NEXT, state=b"s", extra=b"next")
    for each in (store, bench.open()):
        assert sorted(each.extras(9)) == sorted([(TURN, b"turn"), (NEXT, b"next")])
        assert each.extras(9, form="context") == []
        assert each.newest_tokens() == NEXT


def test_the_extra_outlives_a_state_that_a_later_turn_replaces(bench: Bench) -> None:
    store = bench.open()
    keep(store, TURN, state=b"s", extra=b"turn", drops_older=True)
    keep(store, NEXT, state=b"t", extra=b"next", drops_older=True)
    for each in (store, bench.open()):
        assert [found.n_tokens for found in each.states(NEXT)] == [len(NEXT)]
        assert sorted(each.extras(9)) == sorted([(TURN, b"turn"), (NEXT, b"next")])


def test_without_a_block_of_its_own_a_state_has_the_extra(bench: Bench) -> None:
    store = bench.open()
    keep(store, TURN)
    keep(store, TURN, state=b"s", start=len(TURN), extra=b"turn")
    assert store.extras(9) == [(TURN, b"turn")]


# ---------------------------------------------------------------- window rows


def n_restorable(bench: Bench, tokens: list[int], n_window: int = N_WINDOW) -> int:
    """Return after how many tokens a prompt could go on; check each window row on the way."""
    store = bench.open()
    wanted = rows_of(tokens, 0, n_bytes=WINDOW_ROW_BYTES)
    for end in [*dict.fromkeys([len(tokens), *store.ends(tokens)])]:
        has_rows = set()
        for link in store.chain(tokens[:end]):
            content = store.read_block(link.block_id)
            assert content is not None
            for position in range(max(link.start, content.window_start), link.end):
                at = (position - content.window_start) * WINDOW_ROW_BYTES
                held = bytes(content.window_rows)[at : at + WINDOW_ROW_BYTES]
                assert held == wanted[position * WINDOW_ROW_BYTES :][:WINDOW_ROW_BYTES]
                has_rows.add(position)
        if all(position in has_rows for position in range(max(0, end - n_window), end)):
            return end
    return 0


def keep_window(bench: Bench, tokens: list[int], start: int, n_window: int = N_WINDOW) -> bool:
    window_start = max(start, len(tokens) - n_window)
    store = bench.open(max_block_bytes=64 * (TOKEN_ROW_BYTES + WINDOW_ROW_BYTES))
    return store.write_snapshot(tokens, snapshot_of(tokens, start, window_start=window_start))


def test_window_rows_are_kept_with_the_last_tokens(bench: Bench) -> None:
    assert keep_window(bench, HEAD, 0)
    assert n_restorable(bench, HEAD) == 100
    assert keep_window(bench, NEXT, 96)
    assert n_restorable(bench, NEXT) == 180
    assert n_restorable(bench, HEAD) == 100, "the rows after the last page have window rows too"


def test_a_prompt_that_parts_after_the_head_goes_on_from_the_head(bench: Bench) -> None:
    keep_window(bench, HEAD, 0)
    keep_window(bench, NEXT, 96)
    for n_more in range(50):
        assert n_restorable(bench, [*NEXT[: 100 + n_more], 7]) == 100


def test_where_no_window_rows_are_rows_are_written_again(bench: Bench) -> None:
    keep_window(bench, NEXT, 0)
    assert n_restorable(bench, HEAD) == 0
    assert keep_window(bench, HEAD, 32)
    assert n_restorable(bench, HEAD) == 100
    assert n_restorable(bench, NEXT) == 180
    n_bytes = bench.open().status().n_bytes
    assert not keep_window(bench, HEAD, 0)
    assert not keep_window(bench, NEXT, 0)
    store = bench.open()
    store.mark_used([each.entry_id for each in store.list_entries() if each.n_tokens == 180])
    assert n_restorable(bench, HEAD) == 100, "the order of use does not matter"
    assert store.status().n_bytes == n_bytes


def test_window_rows_are_spread_over_the_blocks_they_belong_to(bench: Bench) -> None:
    assert keep_window(bench, TURN, 0, n_window=100)
    starts = {each.start: each.window_start for each in bench.open().list_entries()}
    assert starts == {0: 50, 64: 64, 128: 128}
    assert n_restorable(bench, TURN, n_window=100) == 150


def test_random_conversations_can_go_on_where_they_were_kept(bench: Bench) -> None:
    dice = random.Random(3)
    lists: list[list[int]] = [words(9, 40)]
    for _ in range(15):
        base = dice.choice(lists)
        kept = base[: dice.randrange(len(base) + 1)] if dice.random() < 0.5 else base
        tokens = kept + [dice.randrange(3) for _ in range(dice.randrange(32, 90))]
        lists.append(tokens)
        first = max(0, len(tokens) - N_WINDOW) // 32 * 32
        n_held = bench.open().n_covered(tokens)
        start = 0 if n_held < first else dice.choice([0, first])
        keep_window(bench, tokens, start)
        for each in lists[1:]:
            assert n_restorable(bench, each) == len(each)
            assert n_restorable(bench, [*each, 5]) >= len(each)


# ---------------------------------------------------------------- states beside blocks


def test_a_state_comes_after_its_rows_and_is_found_by_its_tokens(bench: Bench) -> None:
    store = bench.open()
    assert keep(store, HEAD, state=b"head", role="boundary")
    assert keep(store, TURN, state=b"turn")
    for each in (store, bench.open()):
        found = each.states([*TURN, 5])
        assert [match.n_tokens for match in found] == [150, 100]
        contents = [each.read(match) for match in found]
        assert [bytes(content.state) for content in contents if content] == [b"turn", b"head"]
        assert [match.n_tokens for match in each.states([*HEAD, 5])] == [100]
        assert each.has_state(TURN)
        assert not each.has_state(TURN[:-1])
        assert not each.has_state(TURN, form="context")


def test_a_state_for_rows_that_are_there_is_written_alone(bench: Bench) -> None:
    store = bench.open()
    keep(store, TURN)
    assert keep(store, HEAD, 96, state=b"head")
    assert store.write_snapshot(TURN, Snapshot(150, 150, b"", 150, b"", b"turn"))
    assert (store.status().n_blocks, store.status().n_states) == (1, 2)
    assert not store.write_snapshot(TURN, Snapshot(150, 150, b"", 150, b"", b"turn"))


def test_a_state_without_its_rows_is_not_written(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD)
    assert not store.write_snapshot(TURN, Snapshot(150, 150, b"", 150, b"", b"turn"))
    assert not keep(store, NEXT, 160, state=b"next")
    assert store.status().n_states == 0


def test_a_whole_state_needs_no_rows(bench: Bench) -> None:
    store = bench.open()
    assert store.write_snapshot(TURN, Snapshot(150, 150, b"", 150, b"", b"all"))
    (found,) = bench.open().states(NEXT)
    content = store.read(found)
    assert content is not None
    assert content.state == b"all"


def test_the_states_of_earlier_turns_go_when_a_later_one_is_there(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD, state=b"head", role="boundary")
    keep(store, TURN, state=b"turn")
    assert keep(store, NEXT, drops_older=True)
    assert store.has_state(TURN), "there is no later state"
    assert keep(store, NEXT, state=b"next", drops_older=True)
    assert [store.has_state(each) for each in (HEAD, TURN, NEXT)] == [True, False, True]
    assert restored(store, NEXT) == 180


# ---------------------------------------------------------------- gaps


def test_a_chain_ends_before_a_block_that_is_gone_and_goes_on_once_it_is_back(bench: Bench) -> None:
    store = bench.open(max_block_bytes=32 * TOKEN_ROW_BYTES)
    keep(store, NEXT)
    middle = store.chain(NEXT)[2]
    (bench.root / "model.gguf" / f"{middle.block_id}.kv").unlink()
    for each in (bench.open(), store):
        assert restored(each, NEXT) == 64
    n_bytes = store.status().written_today_bytes
    assert keep(store, NEXT, 64)
    assert restored(store, NEXT) == 180
    assert store.status().written_today_bytes - n_bytes < 40 * TOKEN_ROW_BYTES + 2500


def test_a_bad_block_costs_what_comes_after_it_only(bench: Bench) -> None:
    store = bench.open()
    for tokens in (HEAD, TURN, NEXT):
        keep(store, tokens)
    link = store.chain(NEXT)[1]
    path = bench.root / "model.gguf" / f"{link.block_id}.kv"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert restored(store, NEXT) == 100
    assert store.status().n_bad == 1
    assert bench.notices.lines == [
        ("warning", "A prompt in the cache cannot be used (checksum of rows) and was removed.")
    ]
    assert keep(store, NEXT)
    assert restored(bench.open(), NEXT) == 180


@pytest.mark.parametrize("n_files", [1, 2, 3, 4])
def test_a_disk_that_is_full_in_the_middle_leaves_a_shorter_chain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, n_files: int
) -> None:
    store = bench.open(max_block_bytes=32 * TOKEN_ROW_BYTES)
    create, calls = bench.files.create, iter(range(100))

    def create_some(path: Any) -> int:
        if next(calls) >= n_files:
            raise OSError(ENOSPC, "full")
        return create(path)

    monkeypatch.setattr(bench.files, "create", create_some)
    assert not keep(store, TURN, state=b"state", drops_older=True)
    assert "full" in store.status().write_error
    monkeypatch.undo()
    for each in (store, bench.open()):
        assert restored(each, TURN) == min(32 * n_files, 150)
        assert not each.has_state(TURN)
    bench.clock.now_s += 30
    assert keep(store, TURN, state=b"state")
    assert restored(store, TURN) == 150
    assert store.status().write_error == ""


def test_a_clear_in_the_middle_of_a_chain_leaves_nothing(bench: Bench) -> None:
    store = bench.open()
    clear = after_calls(3, store.clear)
    assert not store.write_snapshot(TURN, snapshot_of(TURN, state=b"s"), throttle=clear)
    assert bench.names() == []
    assert store.chain(TURN) == []
    assert keep(store, TURN)


def test_what_the_day_or_the_space_does_not_allow_is_not_begun(bench: Bench) -> None:
    store = bench.open(daily_write_bytes=8000, max_block_bytes=32 * TOKEN_ROW_BYTES)
    assert keep(store, HEAD[:40])
    assert not keep(store, NEXT, state=b"s")
    assert store.status().n_blocks == 2
    bench.clock.now_s += 24 * 3600
    assert not keep(store, NEXT), "more than a day's"
    assert keep(store, TURN[:120])
    small = bench.open(capacity_bytes=9000)
    assert not keep(small, NEXT, state=bytes(9000))
    assert restored(small, NEXT) == 120


def test_a_read_only_disk_is_read_and_nothing_more(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD, state=b"head", profile="kitchen")
    bench.files.fail(EROFS, "create", "write", "rename", "touch", "remove", "make_folder")
    bench.clock.now_s += 100
    for each in (store, bench.open()):
        for _ in range(2):
            bench.clock.now_s += 100
            assert not keep(each, TURN)
            assert restored(each, HEAD) == (100 if each is store else 0)
            each.mark_used([link.block_id for link in each.chain(HEAD)])
            each.unpin_except({})
    assert "read-only" in store.status().write_error
    bench.files.fail(0)
    bench.clock.now_s += 100
    assert keep(store, TURN)
    assert restored(bench.open(), TURN) == 150


def test_tokens_that_repeat_lead_no_chain_in_a_circle(bench: Bench) -> None:
    store = bench.open(max_block_bytes=32 * TOKEN_ROW_BYTES)
    same = [5] * 300
    assert keep(store, same)
    assert store.status().n_blocks == 10
    assert restored(bench.open(), [*same, 5, 5]) == 300
    assert restored(store, [4, *same]) == 0


# ---------------------------------------------------------------- two engines


def test_two_engines_write_the_same_block_and_each_others(bench: Bench) -> None:
    here, there = bench.open(), bench.open()
    assert keep(here, HEAD)
    assert not keep(there, HEAD), "it is there"
    assert keep(there, TURN)
    assert keep(here, NEXT)
    for each in (here, there, bench.open()):
        assert restored(each, NEXT) == 180
    assert len(bench.names()) == 3
    assert bench.notices.lines == []


def test_the_same_block_written_at_once_by_two_engines_is_there_once(bench: Bench) -> None:
    here, there = bench.open(), bench.open()

    def write_too() -> None:
        assert keep(there, HEAD, profile="p")

    both = after_calls(2, write_too)
    here.write_snapshot(HEAD, snapshot_of(HEAD), throttle=both)
    for each in (here, there, bench.open()):
        assert restored(each, HEAD) == 100
    assert len([name for name in bench.names() if len(name) > 40]) == 2, "the block and the pin"
    assert len(bench.names()) == 2
    assert bench.notices.lines == []


def test_what_another_engine_removes_is_no_longer_in_the_chain(bench: Bench) -> None:
    here, there = bench.open(), bench.open()
    keep(here, NEXT, state=b"s")
    assert restored(there, NEXT) == 180
    here.clear()
    assert there.chain(NEXT) == []
    assert there.states(NEXT) == []
    assert bench.notices.lines == []


def test_blocks_stay_when_the_system_is_short_of_something(bench: Bench) -> None:
    store = bench.open()
    keep(store, HEAD)
    (link,) = store.chain(HEAD)
    bench.files.fail(EMFILE, "open_to_read")
    assert store.read_block(link.block_id) is None
    bench.files.fail(0)
    assert restored(store, HEAD) == 100


# ---------------------------------------------------------------- at random


@pytest.mark.parametrize("seed", range(6))
def test_random_conversations_always_get_their_own_rows(bench: Bench, seed: int) -> None:
    dice = random.Random(seed)
    store = bench.open(
        capacity_bytes=dice.choice([30_000, 10_000_000]), max_block_bytes=70 * TOKEN_ROW_BYTES
    )
    lists: list[list[int]] = [words(9, 40)]
    for _ in range(25):
        base = dice.choice(lists)
        kept = base[: dice.randrange(len(base) + 1)] if dice.random() < 0.5 else base
        tokens = kept + [dice.randrange(3) for _ in range(dice.randrange(1, 60))]
        lists.append(tokens)
        n_held = store.n_covered(tokens)
        start = dice.choice([0, n_held - n_held % 32])
        if start < len(tokens):
            keep(store, tokens, start, state=dice.choice([None, b"state"]))
        if dice.random() < 0.2:
            files = list((bench.root / "model.gguf").iterdir())
            dice.choice([*files, bench.root / "none"]).unlink(missing_ok=True)
        if dice.random() < 0.1:
            store = bench.open(capacity_bytes=store.status().capacity_bytes)
        for prompt in dice.sample(lists, min(3, len(lists))):
            restored(store, prompt)
        assert n_block_bytes(bench) <= store.status().capacity_bytes
    assert bench.notices.lines == []
