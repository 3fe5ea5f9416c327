"""Files of /proc and /sys are read as text, numbers and fields; what is missing is empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.device.kernel_files import fields, memory_total_bytes, number, own_cgroups, text
from tests.device.sysfs import write

V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("membership", "expected"),
    [
        ("0::/a.slice/b.service", [(2, f"{V2}/a.slice/b.service"), (2, f"{V2}/a.slice"), (2, V2)]),
        ("4:cpu,memory:/box", [(1, f"{V1}/box"), (1, V1)]),
        ("3:cpu:/box", []),
        ("0::/../..", [(2, V2)]),
        ("garbage", []),
    ],
)
def test_cgroups_are_listed_from_the_process_up_to_the_mount_point(
    tmp_path: Path, membership: str, expected: list[tuple[int, str]]
) -> None:
    write(tmp_path, {"proc/self/cgroup": membership + "\n"})
    found = [(each.version, each.folder) for each in own_cgroups(tmp_path)]
    assert found == [(version, tmp_path / folder) for version, folder in expected]


def test_without_proc_there_are_no_cgroups(tmp_path: Path) -> None:
    assert list(own_cgroups(tmp_path)) == []


def test_text_is_stripped_and_empty_if_the_file_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, {"name": " coretemp \n"})
    assert text(tmp_path / "name") == "coretemp"
    assert text(tmp_path / "missing") == ""
    assert text(tmp_path) == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [("42\n", 42), ("-5\n", -5), ("max\n", None), ("", None), ("1.5", None), ("--1", None)],
)
def test_a_number_is_a_whole_number_or_none(
    tmp_path: Path, content: str, expected: int | None
) -> None:
    write(tmp_path, {"value": content})
    assert number(tmp_path / "value") == expected


def test_fields_are_names_with_numbers_whatever_the_separator(tmp_path: Path) -> None:
    content = "MemTotal:  2048 kB\noom_kill 3\nfull avg10=0.00\nlonely\n\n"
    write(tmp_path, {"file": content})
    assert fields(tmp_path / "file") == {"MemTotal": 2048, "oom_kill": 3}


def test_the_total_memory_is_in_bytes(tmp_path: Path) -> None:
    assert memory_total_bytes(tmp_path) is None
    write(tmp_path, {"proc/meminfo": "MemTotal: 2 kB\n"})
    assert memory_total_bytes(tmp_path) == 2048
