"""The store: what is kept is found by its longest prefix, and nothing bad is ever given out."""

from __future__ import annotations

import os
import threading
from errno import EIO, EMFILE
from pathlib import Path

import pytest

from app.promptcache import DiskStore, Found
from app.promptcache.entries import EntryTable, entry_of
from app.promptcache.entry_header import MAX_EXTRA_BYTES, MAX_HEADER_BYTES, Draft, Head
from app.promptcache.packed import pack
from tests.promptcache.stores import Bench, fetch, is_kept, put, state_of, words

SHARED = words(0, 100)


# ---------------------------------------------------------------- find and read


def test_an_entry_is_given_back_as_it_was_and_reading_does_not_remove_it(bench: Bench) -> None:
    store = bench.open()
    assert store.write(SHARED, b"the state", extra=b"the extra")
    for _ in range(2):
        found = store.find([*SHARED, 7])
        assert found is not None
        assert (found.n_shared, found.n_tokens) == (100, 100)
        snapshot = store.read(found)
        assert snapshot is not None
        assert snapshot.tokens == SHARED
        assert (bytes(snapshot.state), snapshot.extra) == (b"the state", b"the extra")
    assert store.status().n_hits == 2


def test_the_longest_shared_prefix_wins_to_the_token(bench: Bench) -> None:
    store = bench.open()
    put(store, [*SHARED, 1, 2, 3])
    put(store, [*SHARED, 1, 9, 9, 9])
    found = store.find([*SHARED, 1, 2, 4])
    assert found is not None
    assert (found.n_shared, found.n_tokens) == (102, 103)
    found = store.find(SHARED[:70])
    assert found is not None
    assert found.n_shared == 70


def test_of_two_that_save_as_much_the_smaller_one_is_read(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    put(store, [*SHARED, *words(1)], n_bytes=5000)
    found = store.find([*SHARED, *words(2)])
    assert found is not None
    assert (found.n_shared, found.n_tokens) == (100, 100)


def test_a_prefix_too_short_to_save_anything_is_no_hit(bench: Bench) -> None:
    store = bench.open(min_tokens=50)
    put(store, SHARED)
    assert store.find(SHARED[:50]) is not None
    assert store.find(SHARED[:49]) is None
    assert store.find([]) is None
    assert not put(store, words(1, 49))
    assert not store.write([], b"")


def test_kinds_of_states_never_meet(bench: Bench) -> None:
    store = bench.open()
    assert store.write(SHARED, b"a sequence")
    assert store.find(SHARED, form="context") is None
    assert store.write(SHARED, b"a context", form="context")
    for form, state in [("", b"a sequence"), ("context", b"a context")]:
        found = bench.open().find(SHARED, form=form)
        assert found is not None
        snapshot = store.read(found)
        assert snapshot is not None
        assert snapshot.state == state


def test_where_states_cannot_be_cut_only_whole_entries_serve(bench: Bench) -> None:
    store = bench.open(can_cut=False)
    for tokens in (SHARED, [*SHARED, 1, 2], [*SHARED, *words(1)]):
        assert put(store, tokens)
    for prompt, n_whole in [
        ([*SHARED, 1, 2, 3], 102),
        ([*SHARED, 1], 100),
        ([*SHARED, *words(1), 5], 164),
        ([*SHARED, *words(1, 63)], 100),
    ]:
        found = store.find(prompt)
        assert found is not None
        assert found.n_shared == found.n_tokens == n_whole
    assert store.find(SHARED[:99]) is None
    assert not store.covers(SHARED[:99])
    assert store.covers(SHARED)


def test_an_entry_covers_its_prefixes_where_states_can_be_cut(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    assert store.covers(SHARED)
    assert store.covers(SHARED[:40])
    assert not store.covers([*SHARED, 1])
    assert not store.covers(SHARED[:8]), "too short to be of use"


@pytest.mark.parametrize("can_cut", [True, False])
def test_the_work_of_a_look_up_does_not_grow_with_the_entries(can_cut: bool) -> None:
    def probes(n_entries: int) -> int:
        table = EntryTable(can_cut=can_cut)
        for i in range(n_entries):
            draft = Draft(pack(SHARED + words(i)), b"", b"", "", "", "turn", "", 0.0)
            head = Head(draft.header(), draft.tokens, b"", 1)
            table.add(entry_of(head, is_pinned=False, used_s=i))
        before = table.n_probes
        best = table.best(pack(SHARED + words(5) + words(1, 1000)), "")
        assert best is not None
        assert best[1] == 164
        return table.n_probes - before

    assert probes(10) == probes(10_000)


# ---------------------------------------------------------------- restarts and bad files


def test_entries_outlive_the_process(bench: Bench) -> None:
    put(bench.open(), SHARED)
    store = bench.open()
    assert is_kept(store, SHARED)
    assert store.status().n_entries == 1
    assert bench.notices.lines == []


def test_entries_with_another_fingerprint_are_removed_in_one_line(bench: Bench) -> None:
    store = bench.open()
    for seed in range(3):
        put(store, words(seed))
    other = bench.open(fingerprint="other")
    assert other.find(words(0)) is None
    assert bench.names() == []
    assert bench.notices.lines == [
        (
            "warning",
            "Prompts in the cache that cannot be used were removed: 3 foreign fingerprint.",
        )
    ]
    assert other.status().n_bad == 3


def test_a_scan_removes_what_is_bad_and_nothing_else(bench: Bench) -> None:
    put(bench.open(), SHARED)
    good = bench.only_file()
    folder = good.parent
    (folder / "empty.kv").touch()
    (folder / "copy.kv").write_bytes(good.read_bytes())
    (folder / "cut.kv").write_bytes(good.read_bytes()[:-1])
    outside = bench.root / "outside.kv"
    outside.write_bytes(good.read_bytes())
    (folder / "link.kv").symlink_to(outside)
    (folder / "notes.txt").write_text("not ours")
    (folder / "folder.kv").mkdir()
    store = bench.open()
    assert bench.names() == sorted(["folder.kv", good.name, "notes.txt"])
    assert outside.exists()
    assert is_kept(store, SHARED)
    assert bench.notices.lines == [
        (
            "warning",
            "Prompts in the cache that cannot be used were removed: 1 misnamed, "
            "1 not a regular file, 2 truncated. 1 could not be removed and are ignored.",
        )
    ]


def test_an_entry_damaged_after_the_start_is_a_miss_and_a_line(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    found = store.find(SHARED)
    assert found is not None
    content = bytearray(bench.only_file().read_bytes())
    content[-5] ^= 4
    bench.only_file().write_bytes(content)
    assert store.read(found) is None
    assert bench.names() == []
    assert store.find(SHARED) is None
    assert store.status().n_bad == 1
    assert bench.notices.lines == [
        ("warning", "A prompt in the cache cannot be used (checksum of state) and was removed.")
    ]
    assert put(store, SHARED), "it can be kept anew"


def test_an_entry_with_other_tokens_in_its_place_is_bad(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    mine = bench.only_file()
    put(store, words(1))
    (other,) = set(mine.parent.iterdir()) - {mine}
    other.replace(mine)
    assert fetch(store, SHARED) is None
    assert "misnamed" in bench.notices.lines[0][1]


def test_an_entry_that_another_process_evicted_is_a_silent_miss(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    bench.only_file().unlink()
    assert fetch(store, SHARED) is None
    assert store.status().n_entries == 0
    assert bench.notices.lines == []
    assert store.read(Found("unknown", 1, 1, 1)) is None


def test_an_unreadable_entry_is_removed(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    bench.files.fail(EIO, "open_to_read")
    assert fetch(store, SHARED) is None
    assert bench.names() == []
    assert "unreadable" in bench.notices.lines[0][1]


def test_an_unreadable_entry_that_cannot_be_removed_is_ignored(bench: Bench) -> None:
    put(bench.open(), SHARED)
    bench.files.fail(EIO, "open_to_read", "remove")
    store = bench.open()
    assert store.find(SHARED) is None
    assert bench.notices.lines == [("warning", "1 could not be removed and are ignored.")]


def test_an_entry_stays_when_the_system_is_short_of_something(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    bench.files.fail(EMFILE, "open_to_read")
    assert fetch(store, SHARED) is None
    bench.files.fail(0)
    assert is_kept(store, SHARED)


def test_what_dead_writers_left_is_removed_and_what_live_ones_write_is_not(bench: Bench) -> None:
    bench.open()
    folder = bench.root / "model.gguf"
    live, old = f"a.{os.getpid()}-00.tmp", f"b.{os.getpid()}-11.tmp"
    for name in (live, old, "c.4194304999-22.tmp", "unknown.tmp", f"d.{2**22 + 1}-33.tmp"):
        (folder / name).touch()
        os.utime(folder / name, (bench.clock.now_s, bench.clock.now_s))
    os.utime(folder / old, (0, bench.clock.now_s - 601))
    bench.open()
    assert bench.names() == [live]
    assert bench.notices.lines == []


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
    assert not put(store, SHARED[:50], profile="assistant")
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


# ---------------------------------------------------------------- lists


def test_entries_are_listed_the_newest_first(bench: Bench) -> None:
    store = bench.open()
    assert store.newest_tokens() is None
    store.write(words(0), b"", extra=b"zero")
    store.write(words(1), b"")
    store.write(words(2), b"", extra=b"two")
    assert store.newest_tokens() == words(2)
    assert store.extras(5) == [(words(2), b"two"), (words(0), b"zero")]
    assert store.extras(1) == [(words(2), b"two")]
    fetch(store, words(0))
    assert store.extras(1) == [(words(0), b"zero")]
    (info,) = [info for info in store.list_entries() if info.n_tokens == 64][:1]
    assert (info.role, info.profile) == ("turn", "")
    assert info.created_s == bench.clock.now_s


def test_extras_of_damaged_entries_are_left_out(bench: Bench) -> None:
    store = bench.open()
    store.write(words(0), b"", extra=b"zero")
    bench.only_file().write_bytes(b"")
    assert store.extras(5) == []
    assert bench.names() == []


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

    def between() -> None:
        started.set()
        assert cleared.wait(10)

    def write() -> None:
        results.append(store.write(SHARED, state_of(SHARED), between=between))

    thread = threading.Thread(target=write)
    thread.start()
    assert started.wait(10)
    store.clear()
    cleared.set()
    thread.join(10)
    assert results == [False]
    assert bench.names() == []
    assert store.find(SHARED) is None
    assert store.status().trouble == ""
    assert put(store, SHARED)


def test_nothing_waits_for_a_write_but_writes(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED)
    seen: list[bool] = []

    def between() -> None:
        def look() -> None:
            seen.append(fetch(store, SHARED) is not None and store.status().n_entries == 1)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join(10)

    assert store.write(words(1), b"state", between=between)
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
