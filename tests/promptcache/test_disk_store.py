"""The store: what is kept is found by its longest prefix, and nothing bad is ever given out.

Covers `app.promptcache.state_store`, `app.promptcache.folder_scan` and
`app.promptcache.model_folder`.
"""

from __future__ import annotations

import os
from errno import EIO, EMFILE, ENOENT

import pytest

from app.promptcache import PrefixMatch
from app.promptcache.entries import EntryTable, entry_of
from app.promptcache.entry_header import EntryBody, EntryDraft, EntryMetadata
from app.promptcache.token_bytes import pack
from tests.promptcache.stores import Bench, fetch, is_kept, put, words

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
            draft = EntryDraft(
                tokens=pack(SHARED + words(i)),
                body=EntryBody(),
                extra=b"",
                fingerprint="",
                form="",
                role="turn",
                profile="",
                created_s=0.0,
            )
            metadata = EntryMetadata(draft.header(), draft.tokens, b"", 1)
            table.add(entry_of(metadata, is_pinned=False, used_s=i))
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
    assert store.read(PrefixMatch("unknown", 1, 1, 1)) is None


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


def test_an_entry_that_goes_while_it_is_looked_at_is_no_trouble(bench: Bench) -> None:
    put(bench.open(), SHARED)
    bench.files.fail(ENOENT, "open_to_read")
    store = bench.open()
    assert store.find(SHARED) is None
    assert (bench.notices.lines, store.status().n_bad) == ([], 0)


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


def test_what_another_process_writes_is_found_and_what_it_removes_is_not(bench: Bench) -> None:
    """At a reload two engines of one service work in the folder for a moment."""
    here, there = bench.open(), bench.open()
    put(there, SHARED)
    assert is_kept(here, SHARED)
    put(here, words(1))
    assert is_kept(there, words(1))
    there.clear()
    found = here.find(SHARED)
    assert found is None or here.read(found) is None
    assert bench.notices.lines == []


def test_a_change_that_bears_the_time_of_the_one_before_is_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a file system ticks a few times a second on some kernels."""
    here, there = bench.open(), bench.open()
    put(there, SHARED)
    folder = bench.root / "model.gguf"
    changed_ns = folder.stat().st_mtime_ns
    monkeypatch.setattr("app.promptcache.model_folder.time.time_ns", lambda: changed_ns + 1000)
    assert is_kept(here, SHARED)
    put(there, words(1))
    os.utime(folder, ns=(changed_ns, changed_ns))
    assert is_kept(here, words(1))


def test_entries_of_no_use_to_the_caller_are_passed_over(bench: Bench) -> None:
    store = bench.open()
    put(store, SHARED[:64])
    put(store, [*SHARED, 1])
    best = store.find([*SHARED, 2])
    assert best is not None
    assert best.n_shared == 100
    second = store.find([*SHARED, 2], skip={best.entry_id})
    assert second is not None
    assert (second.n_shared, second.n_tokens) == (64, 64)
    assert store.find([*SHARED, 2], skip={best.entry_id, second.entry_id}) is None
