"""Why an engine ended: the kernel's out-of-memory killer is named where it has killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.host.process.exit_reason import ProcessExit, kill_count
from tests.device.sysfs import write

EVENTS = "low 0\nhigh 12\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n"


def test_kills_are_those_of_the_own_control_group(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/system.slice/x.service\n",
        "sys/fs/cgroup/system.slice/x.service/memory.events": EVENTS,
        "proc/vmstat": "oom_kill 17\n",
    }
    assert kill_count(write(tmp_path, files)) == 1


def test_kills_in_a_version_1_group_count(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/box\n0::/\n",
        "sys/fs/cgroup/memory/box/memory.oom_control": "oom_kill_disable 0\noom_kill 5\n",
    }
    assert kill_count(write(tmp_path, files)) == 5


def test_without_a_group_the_systems_kills_count(tmp_path: Path) -> None:
    assert kill_count(write(tmp_path, {"proc/vmstat": "pgfault 1\noom_kill 17\n"})) == 17
    assert kill_count(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("ending", "is_oom", "words"),
    [
        (
            ProcessExit(-9, was_ours=False, oom_kills=1),
            True,
            "signal SIGKILL: probably the kernel's out",
        ),
        (
            ProcessExit(-9, was_ours=False, oom_kills=0),
            False,
            "signal SIGKILL: not by this service",
        ),
        (ProcessExit(-9, was_ours=True, oom_kills=1), False, "signal SIGKILL"),
        (ProcessExit(-6, was_ours=False, oom_kills=1), False, "signal SIGABRT"),
        (ProcessExit(3, was_ours=False, oom_kills=0), False, "exit status 3"),
        (ProcessExit(-40, was_ours=False, oom_kills=0), False, "signal 40"),
    ],
)
def test_a_kill_is_the_killers_where_it_has_killed_and_nobody_else_did(
    ending: ProcessExit, is_oom: bool, words: str
) -> None:
    assert ending.is_oom is is_oom
    assert ending.reason(None).startswith(words)


def test_the_last_words_are_part_of_the_reason() -> None:
    ending = ProcessExit(-6, was_ours=False, oom_kills=0)
    assert ending.reason("GGML_ASSERT(x) failed") == (
        "signal SIGABRT; last words: GGML_ASSERT(x) failed"
    )
