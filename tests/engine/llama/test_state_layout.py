"""A state is taken apart by token and joined again; anything unexpected in it is refused.

Covers `app.engine.llama.attention_part`.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.llama.attention_part import AttentionPart, Column
from app.engine.llama.state_layout import StateLayout

MAGIC = b"\xd8\x3c\x14\xaf"
N_SWA = 16
F16 = 1


def by_row(n_bytes: int) -> Column:
    return Column(struct.pack("<iQ", F16, n_bytes), n_bytes, 0)


def transposed(n_items: int) -> Column:
    return Column(struct.pack("<iII", F16, 2, n_items), 2 * n_items, 2)


def part(*columns: Column, has_ext: bool = False) -> AttentionPart:
    is_transposed = any(column.item_bytes for column in columns)
    return AttentionPart(has_ext, struct.pack("<II", is_transposed, len(columns) // 2), columns)


PLAIN = part(by_row(8), by_row(6), by_row(8), by_row(6))
LAYOUTS = {
    "plain": StateLayout(MAGIC, (PLAIN,), (), 0, 0),
    "transposed": StateLayout(MAGIC, (part(by_row(8), transposed(4)),), (), 0, 0),
    "ext": StateLayout(MAGIC, (part(by_row(8), by_row(8), has_ext=True),), (), 0, 0),
    "two caches": StateLayout(MAGIC, (PLAIN, part(by_row(10))), (), 0, 0),
    "window": StateLayout(MAGIC, (PLAIN,), (part(by_row(4), by_row(4)),), 0, N_SWA),
    "recurrent": StateLayout(MAGIC, (PLAIN,), (), 40, 0),
}


def recurrent(layout: StateLayout, n_tokens: int) -> bytes:
    body = struct.pack("<Iii", 1, n_tokens - 1, 0).ljust(layout.recurrent_bytes, b"r")
    return body if layout.recurrent_bytes else b""


def random_rows(n_rows: int, n_bytes: int) -> np.ndarray:
    generator = np.random.default_rng(n_rows)
    return generator.integers(0, 256, (n_rows, n_bytes), np.uint8)


def written(
    layout: StateLayout, positions: list[int], window: list[int], end: int, seq_id: int = 3
) -> bytes:
    """Return the state that llama.cpp writes, cells in the order of `positions`."""
    data = MAGIC + struct.pack("<i", seq_id)
    groups = ((layout.whole, positions, rows_of), (layout.windows, window, window_rows_of))
    for parts, places, rows_by_position in groups:
        at = 0
        for each in parts:
            rows = rows_by_position(layout, end)[places, at : at + each.token_bytes]
            data += cells_written(each, places, rows, seq_id)
            at += each.token_bytes
    return data + recurrent(layout, end)


def rows_of(layout: StateLayout, end: int) -> np.ndarray:
    return random_rows(end, layout.token_bytes)


def window_rows_of(layout: StateLayout, end: int) -> np.ndarray:
    return random_rows(end, layout.window_token_bytes)


def cells_written(each: AttentionPart, places: list[int], rows: np.ndarray, seq_id: int) -> bytes:
    data = struct.pack("<II", 1, len(places))
    if not places:
        return data
    at = 12 if each.has_ext else 0
    for place, row in zip(places, rows, strict=True):
        data += struct.pack("<iI", place, 1) + row[:at].tobytes() + struct.pack("<i", seq_id)
    data += each.data_head
    for column in each.columns:
        cells = rows[:, at : at + column.n_bytes]
        at += column.n_bytes
        if column.item_bytes:
            numbers = np.ascontiguousarray(cells).view(np.uint16)
            data += column.head + numbers.T.tobytes()
        else:
            data += column.head + cells.tobytes()
    return data


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> StateLayout:
    return LAYOUTS[request.param]


def window_of(layout: StateLayout, end: int) -> list[int]:
    return list(range(max(0, end - layout.n_swa), end)) if layout.windows else []


@pytest.mark.parametrize("order", ["in order", "the last ones first", "mixed"])
def test_rows_come_by_position_in_whatever_order_cells_lie(layout: StateLayout, order: str) -> None:
    positions, window = list(range(24)), window_of(layout, 24)
    if order == "the last ones first":
        positions, window = positions[9:] + positions[:9], window[5:] + window[:5]
    if order == "mixed":
        generator = np.random.default_rng(1)
        generator.shuffle(positions)
        generator.shuffle(window)
    parts = layout.split(written(layout, positions, window, 24))
    assert (parts.start, parts.n_tokens) == (0, 24)
    assert np.array_equal(parts.rows, rows_of(layout, 24))
    assert parts.window_start == (24 - N_SWA if layout.windows else 24)
    assert np.array_equal(parts.window_rows, window_rows_of(layout, 24)[parts.window_start :])
    assert parts.recurrent == recurrent(layout, 24)


@pytest.mark.parametrize("ends", [[24], [5, 6, 24], list(range(1, 25))])
def test_joined_pieces_are_what_llama_cpp_writes(layout: StateLayout, ends: list[int]) -> None:
    rows, window_rows = rows_of(layout, 24), window_rows_of(layout, 24)
    window = window_of(layout, 24)
    starts = [0, *ends[:-1]]
    pieces = [rows[start:end] for start, end in zip(starts, ends, strict=True)]
    window_pieces = [window_rows[place : place + 1].tobytes() for place in window]
    joined = layout.join(24, pieces, window_pieces, recurrent(layout, 24))
    assert joined.tobytes() == written(layout, list(range(24)), window, 24, seq_id=0)


def test_parts_share_no_memory_with_the_state(layout: StateLayout) -> None:
    state = bytearray(written(layout, list(range(24)), window_of(layout, 24), 24))
    parts = layout.split(state)
    state[:] = bytes(len(state))
    assert np.array_equal(parts.rows, rows_of(layout, 24))


def test_a_range_begins_where_its_first_cell_is() -> None:
    layout = LAYOUTS["plain"]
    parts = layout.split(written(layout, list(range(7, 24)), [], 24))
    assert (parts.start, parts.n_tokens) == (7, 24)
    assert np.array_equal(parts.rows, rows_of(layout, 24)[7:])


@pytest.mark.parametrize(
    ("window", "start"),
    [
        (list(range(12, 24)), 12),
        ([8, 9, *range(12, 24)], 12),
        ([*range(15, 24), 8, 9, 10, 14], 14),
        ([], 24),
    ],
)
def test_of_a_window_with_holes_the_last_rows_remain(window: list[int], start: int) -> None:
    layout = LAYOUTS["window"]
    parts = layout.split(written(layout, list(range(24)), window, 24))
    assert parts.window_start == start
    assert np.array_equal(parts.window_rows, window_rows_of(layout, 24)[start:])


def test_a_recurrent_state_of_another_position_is_left_out() -> None:
    layout = LAYOUTS["recurrent"]
    state = written(layout, list(range(24)), [], 24)[: -layout.recurrent_bytes]
    assert layout.split(state + recurrent(layout, 25)).recurrent == b""
    assert layout.split(state + recurrent(layout, 24), with_recurrent=False).recurrent == b""


def test_every_truncated_state_is_refused(layout: StateLayout) -> None:
    state = written(layout, list(range(24)), window_of(layout, 24), 24)
    for length in range(len(state)):
        with pytest.raises(ValueError, match="state"):
            layout.split(state[:length])
    with pytest.raises(ValueError, match="state"):
        layout.split(state + b"\0")


@given(st.data())
def test_flipped_bytes_are_refused_or_lead_to_rows_of_the_same_size(data: st.DataObject) -> None:
    layout = LAYOUTS[data.draw(st.sampled_from(sorted(LAYOUTS)))]
    state = bytearray(written(layout, list(range(24)), window_of(layout, 24), 24))
    for _ in range(data.draw(st.integers(1, 3))):
        state[data.draw(st.integers(0, len(state) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parts = layout.split(state)
    except ValueError:
        return
    assert parts.rows.shape == (24, layout.token_bytes)
    assert parts.window_rows.shape[1] == layout.window_token_bytes
    assert len(parts.window_rows) <= max(layout.n_swa, 0)


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 7), (8, 2), (8, 0), (12, 2**32 - 1), (12, 0), (12, 25), (12, 23), (16, 2**31), (20, 2)],
)
def test_hostile_numbers_are_refused(layout: StateLayout, at: int, value: int) -> None:
    state = bytearray(written(layout, list(range(24)), window_of(layout, 24), 24))
    struct.pack_into("<I", state, at, value)
    with pytest.raises(ValueError, match=r"state|cell|positions"):
        layout.split(state)


@pytest.mark.parametrize("positions", [[0, 1, 3], [0, 1, 1], [-1, 0, 1]])
def test_positions_that_do_not_follow_each_other_are_refused(positions: list[int]) -> None:
    layout = LAYOUTS["plain"]
    with pytest.raises(ValueError, match="position"):
        layout.split(written(layout, positions, [], 24))


def test_caches_that_hold_other_tokens_are_refused() -> None:
    layout = LAYOUTS["two caches"]
    first, second = (StateLayout(MAGIC, (each,), (), 0, 0) for each in layout.whole)
    state = written(first, [0, 1, 2], [], 24) + written(second, [1, 2, 3], [], 24)[8:]
    with pytest.raises(ValueError, match="other tokens"):
        layout.split(state)


def test_rows_that_do_not_make_up_the_tokens_are_refused(layout: StateLayout) -> None:
    rows, end = rows_of(layout, 24), recurrent(layout, 24)
    window = [window_rows_of(layout, 24)[-N_SWA:]] if layout.windows else []
    assert len(layout.join(24, [rows], window, end))
    for n_tokens, pieces in ((25, [rows]), (23, [rows]), (24, [rows[:9], rows[10:]]), (0, [])):
        with pytest.raises(ValueError, match="rows"):
            layout.join(n_tokens, pieces, window, recurrent(layout, n_tokens))
    with pytest.raises(ValueError, match="another size"):
        layout.join(24, [rows.tobytes()[:-1]], window, end)
    with pytest.raises(ValueError, match="another size"):
        layout.join(24, [rows[:, :-1]], window, end)


@pytest.mark.parametrize(
    ("n_tokens", "n_window", "reaches"),
    [(24, 16, True), (24, 15, True), (24, 14, False), (24, 24, True), (24, 25, False),
     (9, 9, True), (9, 8, False), (24, 0, False)],
)  # fmt: skip
def test_window_rows_must_reach_as_far_back_as_the_next_token_sees(
    n_tokens: int, n_window: int, *, reaches: bool
) -> None:
    layout = LAYOUTS["window"]
    window = [random_rows(n_window, layout.window_token_bytes)]
    assert layout.reaches_back(n_tokens, n_window) == reaches
    if reaches:
        layout.join(n_tokens, [rows_of(layout, n_tokens)], window)
        return
    with pytest.raises(ValueError, match="window"):
        layout.join(n_tokens, [rows_of(layout, n_tokens)], window)


def test_a_model_without_a_window_takes_no_window_rows() -> None:
    layout = LAYOUTS["plain"]
    assert layout.reaches_back(24, 0)
    with pytest.raises(ValueError, match="another size"):
        layout.join(24, [rows_of(layout, 24)], [b"x"])


@pytest.mark.parametrize("wrong", ["none", "of another position", "short", "of several cells"])
def test_a_recurrent_state_must_be_of_the_last_token(wrong: str) -> None:
    layout = LAYOUTS["recurrent"]
    states = {
        "none": b"",
        "of another position": recurrent(layout, 23),
        "short": recurrent(layout, 24)[:-1],
        "of several cells": b"\2" + recurrent(layout, 24)[1:],
    }
    with pytest.raises(ValueError, match="recurrent"):
        layout.join(24, [rows_of(layout, 24)], [], states[wrong])
