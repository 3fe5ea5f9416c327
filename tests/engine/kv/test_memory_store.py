"""Idle conversations in memory: the longest prefix is found, the least used make room."""

from __future__ import annotations

from app.engine.kv.memory_store import MIN_USEFUL_TOKENS, MemoryEntry, MemoryStore

LONG = MIN_USEFUL_TOKENS * 2


def entry(*tokens: int, n_bytes: int = 10) -> MemoryEntry:
    return MemoryEntry([*range(LONG), *tokens], bytearray(n_bytes))


def put(store: MemoryStore, *entries: MemoryEntry) -> None:
    for each in entries:
        store.make_room(each.tokens, len(each.state))
        store.put(each)


def test_the_longest_shared_prefix_is_found() -> None:
    store = MemoryStore(100)
    short, long = entry(100), entry(200, 201, 202)
    put(store, short)
    put(store, long)
    assert store.best([*range(LONG), 200, 201, 9]) == (long, LONG + 2)
    assert store.best([*range(LONG), 100]) == (short, LONG + 1)


def test_a_prefix_too_short_to_save_anything_is_no_hit() -> None:
    store = MemoryStore(100)
    put(store, entry())
    assert store.best(list(range(MIN_USEFUL_TOKENS - 1))) is None
    assert store.best([7] * LONG) is None


def test_a_continued_conversation_replaces_what_it_was() -> None:
    store = MemoryStore(100)
    put(store, entry(1))
    put(store, entry(1, 2, 3))
    assert store.n_bytes == 10
    assert not store.wants([*range(LONG), 1], 10), "a prefix of what is there"
    assert store.wants([*range(LONG), 1, 9], 10)


def test_the_least_recently_used_entries_make_room() -> None:
    store = MemoryStore(25)
    first, second, third = entry(1), entry(2), entry(3)
    put(store, first)
    put(store, second)
    assert store.best(first.tokens) == (first, LONG + 1)  # used now
    put(store, third)
    assert store.n_bytes == 20
    found = store.best(second.tokens)
    assert found is not None
    assert found[1] == LONG, "only the shared beginning is left of the second"
    assert store.best(first.tokens) == (first, LONG + 1)


def test_what_is_larger_than_the_store_or_too_short_is_not_wanted() -> None:
    store = MemoryStore(25)
    assert not store.wants(list(range(LONG)), 26)
    assert not store.wants(list(range(MIN_USEFUL_TOKENS - 1)), 1)
    assert not MemoryStore(0).wants(list(range(LONG)), 1)


def test_where_sequences_cannot_be_cut_only_whole_prefixes_count() -> None:
    store = MemoryStore(100, can_cut=False)
    prefix, longer = entry(1), entry(1, 2, 3)
    put(store, prefix, longer)
    assert store.n_bytes == 20, "the longer one cannot serve in the place of the prefix"
    assert store.best([*prefix.tokens, 9]) == (prefix, LONG + 1)
    assert store.best([*longer.tokens, 9]) == (longer, LONG + 3)
    assert not store.has(list(range(LONG)))
    assert store.best(list(range(LONG))) is None


def test_room_is_made_before_a_state_is_copied() -> None:
    store = MemoryStore(25)
    put(store, entry(1), entry(2))
    store.make_room([7] * LONG, 20)
    assert store.n_bytes == 0


def test_where_an_entry_is_of_no_use_the_next_longest_prefix_is_found() -> None:
    store = MemoryStore(100)
    short, long = entry(1), entry(2, 3)
    put(store, short, long)
    prompt = [*range(LONG), 2, 3, 4]
    assert store.best(prompt, skip=[long]) == (short, LONG)
    assert store.best(prompt, skip=[long, short]) is None


def test_an_entry_that_made_room_already_can_be_dropped() -> None:
    store = MemoryStore(10)
    first = entry(1)
    put(store, first, entry(2))
    store.drop(first)
    assert len(store) == 1
