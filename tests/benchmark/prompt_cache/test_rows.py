"""A row tells whether all its bounds are kept, and the table says which are not."""

from __future__ import annotations

import pytest

from scripts.benchmark.prompt_cache import targets
from scripts.benchmark.prompt_cache.rows import Bound, Row, as_matrix, as_table, figure, summary


@pytest.mark.parametrize(
    ("bounds", "is_reached"),
    [([], None), ([Bound(10)], True), ([Bound(10), Bound(9)], False), ([Bound(9)], False)],
)
def test_a_row_is_reached_when_every_bound_is_kept(
    bounds: list[Bound], is_reached: bool | None
) -> None:
    row = Row("lfm2", "second turn", "missed", 10, None, bounds)
    assert row.is_reached is is_reached
    assert row.as_json()["reached"] is is_reached


def test_the_table_shows_both_servers_and_the_reason_of_a_bound() -> None:
    rows = [
        Row("lfm2", "tools", "tokens", 445, 280.0, targets.again("lfm2", 400, 280.0)),
        Row("qwen3", "turn", "of cold", 0.05, None, [Bound(0.08)]),
    ]
    table = as_table(rows)
    assert "≤ 460 (1.15 of the new), ≤ 280 (llama-server)" in table
    assert [line.count("|") for line in table.splitlines()] == [9] * 4
    assert summary(rows) == "1 of 2 targets reached\n  missed: lfm2: tools"


def test_the_matrix_has_a_column_for_each_shape_and_what_misses_is_bold() -> None:
    rows = [
        Row("lfm2", "tools", "tokens", 445, 280.0, [Bound(460), Bound(280)]),
        Row("qwen3", "turn", "missed", 3, None, [Bound(32)]),
        Row("qwen3", "tools", "tokens", 404, 404.0, [Bound(465)]),
    ]
    assert as_matrix(rows).splitlines() == [
        "| what | unit | lfm2 | qwen3 |",
        "|---|---|---|---|",
        "| tools | tokens | **445** ; 280 | 404 ; 404 |",
        "| turn | missed |  | 3 |",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.0834, "0.083"), (12.34, "12.3"), (2320.0, "2,320")]
)
def test_figures_are_as_exact_as_a_reader_needs(value: float, text: str) -> None:
    assert figure(value) == text


def test_bounds_come_from_the_peer_and_the_baseline_only_where_these_are_known() -> None:
    assert [bound.at_most for bound in targets.again("qwen3", 100, None)] == [115]
    assert [bound.at_most for bound in targets.again("qwen35", 100, 90.0)] == [115, 90, 700]
    assert targets.memory_mb(None) == targets.no_more_than(None) == []
    assert targets.memory_mb(183.0)[0].at_most == 223
    assert targets.written_mb(1000, 1000, 500_000, 2).at_most == pytest.approx(2.2)
