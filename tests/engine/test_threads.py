"""The default number of threads is the number of physical cores that may be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.engine.threads import default_threads


@pytest.fixture
def cpu_root(tmp_path: Path) -> Path:
    """Four cores, of which 0 and 1 have two hyper-threads each (0+4, 1+5)."""
    for cpu, siblings in {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5", 2: "2", 3: "3"}.items():
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings + "\n")
    return tmp_path


def threads(cpus: set[int], cpu_root: Path, quota: str | None = None) -> int:
    quota_file = cpu_root / "cpu.max"
    if quota is not None:
        quota_file.write_text(quota)
    return default_threads(cpus, cpu_root, quota_file)


def test_hyper_threads_of_one_core_count_once(cpu_root: Path) -> None:
    assert threads({0, 1, 2, 3, 4, 5}, cpu_root) == 4
    assert threads({0, 4}, cpu_root) == 1


def test_only_cores_this_process_may_run_on_count(cpu_root: Path) -> None:
    assert threads({1, 2}, cpu_root) == 2


def test_without_a_topology_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert threads({0, 1, 2}, tmp_path) == 3


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000\n", 4),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("900000 100000\n", 4),
        ("nonsense\n", 4),
        ("", 4),
    ],
)
def test_a_cgroup_quota_caps_the_threads(cpu_root: Path, quota: str, expected: int) -> None:
    assert threads({0, 1, 2, 3}, cpu_root, quota) == expected


def test_on_this_machine_it_is_a_number_that_it_can_run() -> None:
    assert 1 <= default_threads() <= len(os.sched_getaffinity(0))
