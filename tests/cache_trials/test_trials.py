"""A few random trials of each way to keep context: what the cache restores is exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cache_trials import cli
from scripts.cache_trials.run import Plan, Report, run
from scripts.cache_trials.shapes import SHAPES
from scripts.cache_trials.verdict import TABLE_HEAD, Floors

KINDS = ("memory", "cancelled", "parallel", "walk")
# Of clients that come at once with one new head, one that comes a step later does not wait for the
# last 64 tokens of it.
FLOORS = {"": Floors(head=0.95, turn=0.95), "parallel": Floors(head=0.7, turn=0.95)}
TOLERANCE = 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_answers_to_cached_prompts_are_those_of_cold_runs(name: str, tmp_path: Path) -> None:
    cases = [(kind, 0) for kind in KINDS]
    model = SHAPES[name].model(tmp_path)
    report = run(Plan(name, model, cases, 3, (150, 300), True, TOLERANCE, FLOORS))
    total = report.total
    assert (total.faults, total.misses) == ([], [])
    assert (total.n_cases, total.n_other_tokens) == (len(KINDS), 0)
    assert total.n_answers >= 3 * len(KINDS)
    assert total.tiers["memory"] >= total.tiers["none"]
    assert not report.is_blind


def test_the_command_fails_where_a_run_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plans: list[Plan] = []

    def found(plan: Plan) -> Report:
        plans.append(plan)
        report = Report(plan, elapsed_s=1.0)
        report.row("memory").misses += ["nothing cached"] if plan.seed == 2 else []
        return report

    monkeypatch.setattr(cli, "run", found)
    options = [
        "--model",
        str(tmp_path / "mine.gguf"),
        "--cases",
        "3",
        "--kind",
        "memory",
        "disk",
        "--floor",
    ]
    for seed, status in ((1, 0), (2, 1)):
        assert cli.main([*options, "disk=0:0", "--seed", str(seed)]) == status
        printed = capsys.readouterr().out
        assert TABLE_HEAD in printed
        assert "mine, seed" in printed
    assert plans[0].cases == [("memory", 0), ("disk", 0), ("memory", 1)]
    assert plans[0].floors_of("disk") == Floors(head=0.0, turn=0.0)
    assert plans[0].floors_of("memory") == Floors()


def test_one_case_is_repeated_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    def found(plan: Plan) -> Report:
        plans.append(plan)
        return Report(plan, elapsed_s=1.0)

    monkeypatch.setattr(cli, "run", found)
    assert cli.main(["--model", "mine.gguf", "--case", "walk/7"]) == 0
    assert plans[0].cases == [("walk", 7)]


@pytest.mark.parametrize("options", [["--case", "walk"], ["--floor", "walk=1"], ["--kind", "no"]])
def test_a_wrong_option_is_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(options)
