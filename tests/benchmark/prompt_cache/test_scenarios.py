"""Every scenario has a name, and one of them runs with a real server.

Covers `scripts.benchmark.prompt_cache.bench`, `counted`, `loaded`, `stored` and `cli`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.benchmark.cli import main
from scripts.benchmark.prompt_cache.scenarios import SCENARIOS


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.slow
def test_a_scenario_of_one_shape_gives_rows_with_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    words = ["cache", "--no-peer", "--threads", "1", "--json", str(report)]
    assert main([*words, "--shape", "qwen3", "--only", "tools", "restart8"]) == 0
    rows = {row["name"]: row for row in json.loads(report.read_text())["rows"]}
    assert rows["10 requests with tool calls"]["unit"] == "tokens"
    assert rows["restart with 8 on disk, new"]["ours"] <= 32
    assert "targets reached" in capsys.readouterr().out


def test_without_the_peer_that_was_wanted_nothing_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cache", "--llama-server", "/nowhere/llama-server"]) == 1
    assert "no llama-server" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--shape", "gpt2"], ["--only", "everything"]])
def test_an_unknown_shape_or_scenario_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cache", *words])


def test_help_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cache", "--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in SCENARIOS)
