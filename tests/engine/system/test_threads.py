"""The default number of threads is the number of physical cores that may be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.engine.system.threads import default_threads, usable_threads


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four cores, of which 0 and 1 have two hyper-threads each (0+4, 1+5)."""
    for cpu, siblings in {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5", 2: "2", 3: "3"}.items():
        topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings + "\n")
    return tmp_path


def limit(root: Path, group: str, quota: str) -> None:
    """Put this process into a cgroup, and a quota on `group`."""
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text("0::/system.slice/distiller-llm.service\n")
    folder = root / "sys/fs/cgroup" / group
    folder.mkdir(parents=True)
    (folder / "cpu.max").write_text(quota)


def test_hyper_threads_of_one_core_count_once(root: Path) -> None:
    assert default_threads({0, 1, 2, 3, 4, 5}, root) == 4
    assert default_threads({0, 4}, root) == 1


def test_only_cores_this_process_may_run_on_count(root: Path) -> None:
    assert default_threads({1, 2}, root) == 2


def test_without_a_topology_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert default_threads({0, 1, 2}, tmp_path) == 3


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
def test_a_quota_of_the_own_cgroup_caps_the_threads(root: Path, quota: str, expected: int) -> None:
    limit(root, "system.slice/distiller-llm.service", quota)
    assert default_threads({0, 1, 2, 3}, root) == expected


def test_a_quota_of_a_cgroup_above_counts_too(root: Path) -> None:
    limit(root, "system.slice", "200000 100000")
    assert default_threads({0, 1, 2, 3}, root) == 2


def test_on_this_machine_it_is_a_number_that_it_can_run() -> None:
    assert 1 <= default_threads() <= len(os.sched_getaffinity(0))


def test_more_threads_than_processors_are_not_used() -> None:
    assert usable_threads(1024, 4) == 4
    assert usable_threads(3, 4) == 3
    assert usable_threads(None, 4) is None
    assert usable_threads(100_000) == len(os.sched_getaffinity(0))
