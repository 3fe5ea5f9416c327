"""A little of every trial of `scripts/faults`: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.fault_trials import cli, models
from scripts.fault_trials.bodies import bodies
from scripts.fault_trials.cache import cache
from scripts.fault_trials.kills import kill_engine
from scripts.fault_trials.openapi import openapi
from scripts.fault_trials.raw import REQUEST_TIMEOUT_S, send_bytes, stall
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import Target

PATIENT_S = 30.0  # on a machine that is busy with other tests


def assert_nothing_lost(*tallies: Tally) -> None:
    assert [line for tally in tallies for line in tally.loss_lines()] == []
    assert all(tally.tried for tally in tallies)


def test_streams_outlive_killed_engines() -> None:
    ended, knocks = kill_engine(2, seed=10)
    assert ended.seen["the same answer, word for word"] == 2
    assert knocks.seen["answered"] > 0


def test_damaged_model_files_are_refused_by_the_reader_or_hurt_one_engine_at_most() -> None:
    read, passed = models.read_damaged(40, seed=11)
    assert read.seen["refused with the reason"] > 10
    assert_nothing_lost(read, models.load_damaged(passed[:4], seed=11))


def test_switches_leave_nothing_behind() -> None:
    tally = models.switch(4, seed=1)
    assert tally.seen["200"] == 4
    assert [loss for loss in tally.losses if "grew" not in loss] == []


def test_bytes_that_are_no_http_hurt_nobody(tmp_path: Path) -> None:
    with Target(tmp_path, hang_s=PATIENT_S) as target:
        assert_nothing_lost(send_bytes(target, 60, seed=12))


def test_clients_that_stop_in_the_middle_of_a_request_are_hung_up_on(tmp_path: Path) -> None:
    settings = {"request_timeout_s": REQUEST_TIMEOUT_S}
    with Target(tmp_path, settings, hang_s=PATIENT_S) as target:
        tally = stall(target, 5)
    assert_nothing_lost(tally)
    assert tally.seen["408"] == 5


def test_hostile_bodies_are_answered() -> None:
    assert_nothing_lost(*bodies(60, seed=13, hang_s=PATIENT_S))


def test_damaged_entries_are_misses() -> None:
    files, *served = cache(12, seed=14, n_conversations=8)
    assert_nothing_lost(files, *served)
    assert files.seen["refused"] > 8


def test_answers_are_as_documented() -> None:
    assert_nothing_lost(*openapi(60, seed=15, hang_s=PATIENT_S))


def test_what_was_lost_makes_the_command_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for losses, status in (([], 0), (["it broke"], 1)):
        tally = Tally("a fault", tried=1, losses=losses)
        trial = ("try it", 1, lambda _times, _seed, tally=tally: [tally])
        monkeypatch.setitem(cli.TRIALS, "cache", trial)
        assert cli.main(["cache"]) == status
        printed = capsys.readouterr()
        assert f"| a fault | 1 | {status} |" in printed.out
        assert ("a fault: it broke" in printed.err) == bool(losses)
