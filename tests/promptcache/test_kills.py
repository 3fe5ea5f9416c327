"""Power cuts: whenever a writing process is killed, what is left is whole.

`scripts/faults saves` does it more often.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scripts.fault_trials.saves import faults, kill_writer, saves

N_KILLS = 5


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_no_bad_entry_and_no_orphan(tmp_path: Path) -> None:
    dice = random.Random()
    for kill in range(N_KILLS):
        saved = kill_writer(tmp_path, kill * 4, dice)
        assert saved
        assert faults(tmp_path, saved) == []


@pytest.mark.slow
def test_the_trial_finds_nothing_lost_and_would_see_a_loss(tmp_path: Path) -> None:
    (tally,) = saves(1, 1)
    assert (tally.tried, tally.losses) == (1, [])
    saved = kill_writer(tmp_path, 0, random.Random(1))
    for path in sorted((tmp_path / "model.gguf").iterdir())[:1]:
        path.write_bytes(path.read_bytes()[:-1])
    assert faults(tmp_path, saved)
