"""Idle conversations in memory: the longest prefix is found, the least used make room."""

from __future__ import annotations

from app.engine.idle_store import MIN_USEFUL_TOKENS, IdleEntry, IdleStore

LONG = MIN_USEFUL_TOKENS * 2


def entry(*tokens: int, n_bytes: int = 10) -> IdleEntry:
    return IdleEntry([*range(LONG), *tokens], bytearray(n_bytes))


def test_the_longest_shared_prefix_is_found() -> None:
    store = IdleStore(100)
    short, long = entry(100), entry(200, 201, 202)
    store.put(short)
    store.put(long)
    assert store.best([*range(LONG), 200, 201, 9]) == (long, LONG + 2)
    assert store.best([*range(LONG), 100]) == (short, LONG + 1)


def test_a_prefix_too_short_to_save_anything_is_no_hit() -> None:
    store = IdleStore(100)
    store.put(entry())
    assert store.best(list(range(MIN_USEFUL_TOKENS - 1))) is None
    assert store.best([7] * LONG) is None


def test_a_continued_conversation_replaces_what_it_was() -> None:
    store = IdleStore(100)
    store.put(entry(1))
    store.put(entry(1, 2, 3))
    assert store.n_bytes == 10
    assert not store.wants([*range(LONG), 1], 10), "a prefix of what is there"
    assert store.wants([*range(LONG), 1, 9], 10)


def test_the_least_recently_used_entries_make_room() -> None:
    store = IdleStore(25)
    first, second, third = entry(1), entry(2), entry(3)
    store.put(first)
    store.put(second)
    assert store.best(first.tokens) == (first, LONG + 1)  # used now
    store.put(third)
    assert store.n_bytes == 20
    found = store.best(second.tokens)
    assert found is not None
    assert found[1] == LONG, "only the shared beginning is left of the second"
    assert store.best(first.tokens) == (first, LONG + 1)


def test_what_is_larger_than_the_store_or_too_short_is_not_wanted() -> None:
    store = IdleStore(25)
    assert not store.wants(list(range(LONG)), 26)
    assert not store.wants(list(range(MIN_USEFUL_TOKENS - 1)), 1)
    assert not IdleStore(0).wants(list(range(LONG)), 1)
