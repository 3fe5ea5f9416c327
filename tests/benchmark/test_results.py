"""A row compares within each turn, keeps its target and shows what was measured."""

from __future__ import annotations

import pytest

from scripts.benchmark.results import Result, Target, as_table


def test_the_ratio_is_the_median_of_the_ratios_of_each_turn() -> None:
    drifting = Result("decode", "tok/s", [10.0, 20.0, 60.0], peer=[10.0, 40.0, 80.0])
    assert drifting.ratio == 0.75  # of 1, 1/2, 3/4; that of the medians would be 1/2
    assert drifting.difference == -20.0


def test_without_a_peer_there_is_nothing_to_compare() -> None:
    alone = Result("stop", "ms", [1.0, 2.0, 9.0], Target(1.1, of="ratio"))
    assert (alone.ratio, alone.difference, alone.is_reached) == (None, None, None)


@pytest.mark.parametrize(
    ("target", "is_reached"),
    [
        (Target(12.0, of="ours"), True),
        (Target(11.9, of="ours"), False),
        (Target(12.0, of="ours", is_lower_bound=True), True),
        (Target(1.2, of="ratio"), True),
        (Target(1.1, of="ratio"), False),
        (Target(2.0, of="difference"), True),
        (Target(1.9, of="difference"), False),
        (None, None),
    ],
)
def test_a_target_bounds_the_figure_that_it_names(
    target: Target | None, is_reached: bool | None
) -> None:
    assert Result("row", "MB", [12.0], target, peer=[10.0]).is_reached is is_reached


def test_turns_with_one_side_missing_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = Result("row", "ms", [1.0, 2.0], peer=[1.0]).ratio


def test_the_table_shows_medians_targets_and_notes() -> None:
    rows = [
        Result("gap", "ms", [200.0, 280.0, 250.0], Target(300, of="ours"), notes=["two streams"]),
        Result("memory", "MB", [500.0], Target(110, of="difference"), [300.0], "llama-server"),
        Result("cost", "ms", [0.1234]),
    ]
    table = as_table(rows)
    assert len({len(line) for line in table.splitlines()[:5]}) == 1
    for cell in (
        "250 ms",
        "≤ 300 ms",
        "300 MB (llama-server)",
        "≤ peer + 110 MB",
        "NO",
        "0.123 ms",
    ):
        assert f"| {cell} " in table
    assert table.endswith("\n\ngap: two streams")


def test_json_holds_every_sample() -> None:
    row = Result("ttft", "ms", [3.0, 1.0, 2.0], Target(1.0, of="ratio"), [2.0, 2.0, 2.0], "peer")
    told = row.as_json()
    assert (told["ours"], told["peer"], told["ratio"], told["reached"]) == (2.0, 2.0, 1.0, True)
    assert told["ours_samples"] == [3.0, 1.0, 2.0]
    assert told["target"] == {"of": "ratio", "at_most": 1.0}
