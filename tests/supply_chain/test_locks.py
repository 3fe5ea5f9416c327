"""What a lock says: packages, hashes, and for which Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.supply_chain.locks import LOCKS, PYTHONS, Pin, read_lock

A, B = "a" * 64, "b" * 64


def test_a_lock_is_read_with_hashes_and_conditions(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(
        f"one==1.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"
        f"two==2.0rc1 ; python_full_version < '3.12' \\\n    --hash=sha256:{B}\n"
    )
    one, two = read_lock("x", tmp_path)
    assert one == Pin("one", "1.0", (A, B))
    assert (two.version, two.condition) == ("2.0rc1", "python_full_version < '3.12'")
    assert one.purl == "pkg:pypi/one@1.0"


@pytest.mark.parametrize("text", ["--index-url https://x.example\n", "one>=1.0\n"])
def test_anything_else_in_a_lock_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(ValueError, match="neither a package nor a hash"):
        read_lock("x", tmp_path)


@pytest.mark.parametrize("lock", sorted(file.stem for file in LOCKS.glob("*.txt")))
def test_every_locked_package_has_a_hash(lock: str) -> None:
    pins = read_lock(lock)
    assert pins
    assert all(pin.hashes for pin in pins)


@pytest.mark.parametrize("python", PYTHONS)
def test_each_python_gets_one_version_of_a_package(python: str) -> None:
    names = [pin.name for pin in read_lock() if pin.is_for(python)]
    assert len(set(names)) == len(names)
    assert "numpy" in names


def test_a_condition_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="not known here"):
        Pin("one", "1.0", (A,), "platform_machine == 'riscv64'").is_for("3.11")
