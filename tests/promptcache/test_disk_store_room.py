"""The store keeps to its space: what is written, replaced, pinned and cleared."""

from __future__ import annotations

import threading
from errno import EIO
from pathlib import Path

import pytest

from app.promptcache import DiskStore
from app.promptcache.entry_header import MAX_EXTRA_BYTES, MAX_HEADER_BYTES
from tests.promptcache.stores import Bench, fetch, is_kept, put, state_of, words

SHARED = words(0, 100)


# ---------------------------------------------------------------- what is kept


def test_nothing_is_stored_twice(bench: Bench) -> None:
    store = bench.open()
    assert put(store, SHARED)
    assert not put(store, SHARED)
    assert not put(store, SHARED[:50], role="boundary")
    assert store.status().n_entries == 1


def test_a_longer_turn_replaces_the_turns_it_goes_on_from(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED, role="boundary")
    put(store, [*SHARED, 1])
    put(store, [*SHARED, *words(5)])
    put(store, words(9), profile="pinned")
    assert put(store, [*SHARED, 1, 2], replaces=True)
    assert put(store, [*words(9), 1], replaces=True)
    kept = [(info.role, info.n_tokens) for info in bench.open().list_entries()]
    assert sorted(kept) == [
        ("boundary", 100),
        ("profile", 64),
        ("turn", 65),
        ("turn", 102),
        ("turn", 164),
    ]


def test_a_part_too_large_for_the_format_is_refused(bench: Bench) -> None:
    store = bench.open()
    with pytest.raises(ValueError, match="too much extra"):
        store.write(SHARED, b"", extra=bytes(MAX_EXTRA_BYTES + 1))
    with pytest.raises(ValueError, match="too long a name"):
        store.write(SHARED, b"", profile="x" * MAX_HEADER_BYTES)


def test_without_being_asked_nothing_is_replaced(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    put(store, [*SHARED, 1])
    put(store, [*SHARED, 1, 2], role="boundary", replaces=True)
    assert store.status().n_entries == 3


def test_the_least_recently_used_entries_make_room(bench: Bench) -> None:
    store = bench.open(capacity_bytes=35_000)
    for seed in range(3):
        put(store, words(seed), n_bytes=10_000)
    assert fetch(store, words(0)) is not None
    assert put(store, words(3), n_bytes=10_000)
    assert [info.n_tokens for info in store.list_entries()] == [64, 64, 64]
    assert not store.covers(words(1))
    assert put(store, words(4), n_bytes=20_000)
    assert [store.covers(words(seed)) for seed in range(5)] == [False, False, False, True, True]
    assert sum(path.stat().st_size for path in (bench.root / "model.gguf").iterdir()) <= 35_000
    assert store.status().n_evicted == 3


def test_a_turn_that_is_replaced_makes_room_before_any_other_entry(bench: Bench) -> None:
    store = bench.open(capacity_bytes=25_000)
    put(store, words(0), n_bytes=10_000)
    put(store, words(1), n_bytes=10_000)
    assert put(store, [*words(1), 5], n_bytes=10_000, replaces=True)
    assert store.covers(words(0))


def test_the_order_of_use_outlives_a_restart(bench: Bench) -> None:
    store = bench.open()
    for seed in range(3):
        bench.clock.now_s += 100
        put(store, words(seed), n_bytes=10_000)
    bench.clock.now_s += 100
    fetch(store, words(0))
    store = bench.open(capacity_bytes=35_000)
    assert put(store, words(3), n_bytes=10_000)
    assert [store.covers(words(seed)) for seed in range(4)] == [True, False, True, True]
    assert store.newest_tokens() == words(3)


def test_the_order_of_use_does_not_mind_a_clock_that_is_set_back(bench: Bench) -> None:
    store = bench.open(capacity_bytes=25_000)
    put(store, words(0), n_bytes=10_000)
    bench.clock.now_s -= 1_000_000
    put(store, words(1), n_bytes=10_000)
    put(store, words(2), n_bytes=10_000)
    assert [store.covers(words(seed)) for seed in range(3)] == [False, True, True]


def test_the_time_of_use_is_written_once_a_minute_at_most(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    written_s = bench.only_file().stat().st_mtime
    bench.clock.now_s += 59
    fetch(store, SHARED)
    assert bench.only_file().stat().st_mtime == written_s
    bench.clock.now_s += 1
    fetch(store, SHARED)
    assert bench.only_file().stat().st_mtime == pytest.approx(bench.clock.now_s)
    bench.files.fail(EIO, "touch")
    bench.clock.now_s += 60
    assert fetch(store, SHARED) is not None


def test_what_is_larger_than_the_cache_evicts_nothing(bench: Bench) -> None:
    store = bench.open(capacity_bytes=20_000)
    put(store, SHARED, n_bytes=10_000)
    assert not put(store, words(1), n_bytes=20_000)
    assert store.covers(SHARED)


def test_a_cache_that_became_smaller_is_cut_at_the_start(bench: Bench) -> None:
    store = bench.open()
    for seed in range(4):
        put(store, words(seed), n_bytes=10_000)
    assert bench.open(capacity_bytes=25_000).status().n_entries == 2


def test_the_budget_is_over_all_models(bench: Bench) -> None:
    first = bench.open("first.gguf")
    put(first, words(0), n_bytes=10_000)
    put(first, words(1), n_bytes=10_000, profile="kept")
    bench.clock.now_s += 10
    second = bench.open("second.gguf", capacity_bytes=25_000)
    assert put(second, words(2), n_bytes=10_000)
    assert fetch(first, words(0)) is None
    assert fetch(first, words(1)) is not None
    assert bench.notices.lines == []


# ---------------------------------------------------------------- pinned entries


def test_pinned_entries_are_never_evicted(bench: Bench) -> None:
    store = bench.open(capacity_bytes=35_000)
    assert put(store, words(0), n_bytes=10_000, profile="assistant")
    for seed in range(1, 6):
        assert put(store, words(seed), n_bytes=10_000)
    assert store.covers(words(0))
    assert put(store, words(6), n_bytes=10_000, profile="other")
    assert not put(store, words(7), n_bytes=20_000), "no room besides the pinned ones"
    assert [info.profile for info in bench.open(capacity_bytes=1).list_entries()] == [
        "other",
        "assistant",
    ]


def test_a_profile_has_an_entry_of_its_own(bench: Bench) -> None:
    store = bench.open()
    put(store, [*SHARED, 1])
    assert put(store, SHARED, profile="assistant"), "the longer one may be evicted"
    assert not put(store, SHARED, profile="assistant")
    assert put(store, SHARED[:50], profile="assistant"), "the profile has changed"
    assert not put(store, SHARED, profile="other"), "it is pinned already"
    assert not put(store, SHARED[:50])


def test_an_ordinary_entry_becomes_a_pinned_one(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    assert put(store, SHARED, profile="assistant")
    assert bench.only_file().name.endswith(".pinned.kv")
    assert is_kept(store, SHARED)


def test_a_power_cut_while_pinning_leaves_one_entry(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    ordinary = bench.only_file()
    content = ordinary.read_bytes()
    put(store, SHARED, profile="assistant")
    ordinary.write_bytes(content)
    assert [info.profile for info in bench.open().list_entries()] == ["assistant"]
    assert bench.only_file().name.endswith(".pinned.kv")
    assert bench.notices.lines == []


def test_entries_of_other_profiles_become_ordinary(bench: Bench) -> None:
    store = bench.open()
    put(store, words(0), profile="kept")
    put(store, words(1), profile="gone")
    store.unpin_except({"kept": None})
    for each in (store, bench.open()):
        roles = {info.profile: info.role for info in each.list_entries()}
        assert roles == {"kept": "profile", "": "boundary"}
        assert is_kept(each, words(1))
    assert put(store, words(1), profile="gone"), "it can be pinned again"


def test_what_a_profile_was_before_becomes_ordinary(bench: Bench) -> None:
    store = bench.open()
    put(store, words(0), profile="kitchen")
    put(store, words(1), profile="kitchen")
    store.unpin_except({"kitchen": words(1)})
    tokens = {info.profile: store.find(words(at)) for at, info in enumerate(store.list_entries())}
    assert set(tokens) == {"kitchen", ""}
    (pinned,) = [info for info in store.list_entries() if info.profile]
    found = store.find(words(1))
    assert found is not None
    assert pinned.entry_id == found.entry_id


# ---------------------------------------------------------------- clear


def test_clear_removes_all_entries_of_this_model(bench: Bench) -> None:
    other = bench.open("other.gguf")
    put(other, SHARED)
    store = bench.open()
    put(store, words(0))
    put(store, words(1), profile="pinned")
    n_bytes = store.status().n_bytes
    assert store.clear() == (2, n_bytes)
    assert store.clear() == (0, 0)
    assert store.find(words(0)) is None
    assert bench.names() == []
    assert is_kept(other, SHARED)


def test_a_write_that_runs_while_the_store_is_cleared_comes_to_nothing(bench: Bench) -> None:
    store = bench.open()
    started, cleared = threading.Event(), threading.Event()
    results: list[bool] = []

    def throttle() -> None:
        started.set()
        assert cleared.wait(10)

    def write() -> None:
        results.append(store.write(SHARED, state_of(SHARED), throttle=throttle))

    thread = threading.Thread(target=write)
    thread.start()
    assert started.wait(10)
    store.clear()
    cleared.set()
    thread.join(10)
    assert results == [False]
    assert bench.names() == []
    assert store.find(SHARED) is None
    assert store.status().write_error == ""
    assert put(store, SHARED)


def test_nothing_waits_for_a_write_but_writes(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    seen: list[bool] = []

    def throttle() -> None:
        def look() -> None:
            seen.append(fetch(store, SHARED) is not None and store.status().n_entries == 1)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join(10)

    assert store.write(words(1), b"state", throttle=throttle)
    assert seen
    assert all(seen)


def test_the_folders_are_for_the_owner_only(bench: Bench, tmp_path: Path) -> None:
    put(bench.open(), SHARED)
    assert bench.root.stat().st_mode & 0o777 == 0o700
    assert bench.only_file().parent.stat().st_mode & 0o777 == 0o700
    assert bench.only_file().stat().st_mode & 0o777 == 0o600


def test_stores_with_hostile_names_stay_below_the_root(bench: Bench, tmp_path: Path) -> None:
    store: DiskStore = bench.open("../../escape")
    assert put(store, SHARED)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_what_is_too_short_or_too_large_is_known_before_it_is_offered(bench: Bench) -> None:
    store = bench.open(capacity_bytes=5000, min_tokens=40)
    assert store.fits(40, 4999)
    assert not store.fits(39, 10)
    assert not store.fits(40, 5000)
