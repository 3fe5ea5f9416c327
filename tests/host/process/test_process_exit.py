"""Why an engine ended: the kernel's OOM killer is named if its count rose."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.host.process.process_exit import ProcessExit, oom_kill_count
from tests.device.sysfs import write

EVENTS = "low 0\nhigh 12\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n"


def test_kills_are_those_of_the_own_control_group(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/system.slice/x.service\n",
        "sys/fs/cgroup/system.slice/x.service/memory.events": EVENTS,
        "proc/vmstat": "oom_kill 17\n",
    }
    assert oom_kill_count(write(tmp_path, files)) == 1


def test_kills_in_a_version_1_group_count(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/box\n0::/\n",
        "sys/fs/cgroup/memory/box/memory.oom_control": "oom_kill_disable 0\noom_kill 5\n",
    }
    assert oom_kill_count(write(tmp_path, files)) == 5


def test_without_a_group_the_systems_kills_count(tmp_path: Path) -> None:
    assert oom_kill_count(write(tmp_path, {"proc/vmstat": "pgfault 1\noom_kill 17\n"})) == 17
    assert oom_kill_count(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("ending", "is_oom", "words"),
    [
        (
            ProcessExit(-9, killed_by_us=False, oom_kills=1),
            True,
            "signal SIGKILL: probably the kernel's OOM",
        ),
        (
            ProcessExit(-9, killed_by_us=False, oom_kills=0),
            False,
            "signal SIGKILL: not sent by this",
        ),
        (ProcessExit(-9, killed_by_us=True, oom_kills=1), False, "signal SIGKILL"),
        (ProcessExit(-6, killed_by_us=False, oom_kills=1), False, "signal SIGABRT"),
        (ProcessExit(3, killed_by_us=False, oom_kills=0), False, "exit status 3"),
        (ProcessExit(-40, killed_by_us=False, oom_kills=0), False, "signal 40"),
    ],
)
def test_only_a_foreign_sigkill_with_an_oom_kill_is_attributed_to_the_oom_killer(
    ending: ProcessExit, is_oom: bool, words: str
) -> None:
    assert ending.is_oom is is_oom
    assert ending.reason(None).startswith(words)


def test_the_last_stderr_line_is_part_of_the_reason() -> None:
    ending = ProcessExit(-6, killed_by_us=False, oom_kills=0)
    assert ending.reason("GGML_ASSERT(x) failed") == (
        "signal SIGABRT; last stderr line: GGML_ASSERT(x) failed"
    )
