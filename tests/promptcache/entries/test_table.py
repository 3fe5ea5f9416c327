"""The table: which entries are out of reach, and which one was used last.

Covers `app.promptcache.entries.entry`.
"""

from __future__ import annotations

from itertools import count

from app.promptcache.entries import Entry, EntryTable, block_id, entry_of, id_of
from app.promptcache.entry_header import EntryBody, EntryDraft, EntryMetadata, Kind
from app.promptcache.token_bytes import pack
from tests.promptcache.stores import words

HEAD = words(0, 64)
TURN = [*HEAD, *words(1, 40)]
NEXT = [*TURN, *words(2, 40)]
_times = count(1)


def entry(tokens: list[int], start: int, kind: Kind = "block", window_start: int = -1) -> Entry:
    draft = EntryDraft(
        kind=kind,
        tokens=pack(tokens),
        start=start,
        window_start=len(tokens) if window_start < 0 else window_start,
        body=EntryBody(),
        extra=b"",
        fingerprint="",
        form="",
        role="turn",
        profile="",
        created_s=0.0,
    )
    metadata = EntryMetadata(draft.header(), draft.tokens, b"", 1)
    return entry_of(metadata, is_pinned=False, used_s=float(next(_times)))


def table_of(*entries: Entry) -> EntryTable:
    table = EntryTable(can_cut=False)
    for each in entries:
        table.add(each)
    return table


def test_ids_tell_what_is_where_apart() -> None:
    packed = pack(TURN)
    ids = {block_id(packed, 0), block_id(packed, 32), block_id(packed[:-4], 0), id_of(packed, "")}
    assert len(ids) == 4
    assert id_of(packed, "context") not in ids
    assert entry(TURN, 32).entry_id == block_id(packed, 32)
    assert entry(TURN, 0, "state").entry_id == id_of(packed, "")


def test_what_goes_on_from_nothing_is_out_of_reach() -> None:
    head, turn, after = entry(HEAD, 0), entry(TURN, 64), entry(NEXT, 96)
    partial = entry(NEXT, len(NEXT), "state")
    whole = entry(NEXT[:-1], 0, "state")
    table = table_of(after, turn, head, partial, whole)
    assert table.unreachable() == set()
    table.pop(turn.entry_id)
    assert table.unreachable() == {after.entry_id, partial.entry_id}
    table.pop(head.entry_id)
    table.add(entry(TURN, 64))
    assert table.unreachable() == {turn.entry_id, after.entry_id, partial.entry_id}


def test_a_state_before_the_first_page_ends_needs_some_block() -> None:
    state = entry(HEAD[:20], 20, "state")
    table = table_of(state)
    assert table.unreachable() == {state.entry_id}
    table.add(entry(HEAD, 0))
    assert table.unreachable() == set()


def test_the_newest_entry_is_an_end() -> None:
    head, turn = entry(HEAD, 0), entry(TURN, 64)
    state = entry(words(5), 0, "state")
    table = table_of(state, turn, head)
    assert table.newest("") is turn
    table.mark_used(state, 9.0)
    assert table.newest("") is state
    assert table.newest("context") is None


def test_what_is_taken_out_leaves_nothing_behind() -> None:
    entries = [
        entry(HEAD, 0, window_start=20),
        entry(TURN, 64, window_start=70),
        entry(TURN, len(TURN), "state"),
    ]
    table = table_of(*entries)
    assert len(table.window_ends) == 2
    for each in entries:
        assert table.pop(each.entry_id) is each
        assert table.pop(each.entry_id) is None
    assert (len(table), len(table.blocks), len(table.window_ends)) == (0, 0, 0)
    assert table.unreachable() == set()
