"""`recommend-memory` prints lines for a unit file, and a note on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli import memory
from app.cli.main import main
from app.device.memory_limits import recommend_limits
from tests.models.gguf_files import write_llama

Capture = pytest.CaptureFixture[str]
GIB = 1024**3
SHAPE = {"block_count": 4, "embedding_length": 256, "context_length": 2048}


def run(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, models_dir: Path, total_bytes: int | None
) -> tuple[int, str, str]:
    monkeypatch.setattr(memory, "memory_total_bytes", lambda: total_bytes)
    status = main(["recommend-memory", "--models-dir", str(models_dir), "--idle-cache-mb", "0"])
    return (status, *capsys.readouterr())


def test_the_limits_are_lines_of_a_unit_file(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_llama(tmp_path / "m.gguf")
    status, out, err = run(capsys, monkeypatch, tmp_path, 8 * GIB)
    lines = dict(line.split("=") for line in out.splitlines())
    assert status == 0
    assert list(lines) == ["MemoryHigh", "MemoryMax"]
    assert int(lines["MemoryHigh"]) < int(lines["MemoryMax"]) < 8 * GIB
    assert err.startswith("m.gguf needs about ")
    assert err.endswith(" MiB of 8192 MiB\n")


def needed_mib(err: str) -> int:
    return int(err.split(" needs about ")[1].split(" ")[0])


def test_recurrent_states_of_all_parallel_requests_count(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid = {"attention.head_count_kv": 0, "ssm.inner_size": 8192, "ssm.state_size": 128}
    keys = {f"granitehybrid.{key}": value for key, value in (SHAPE | hybrid).items()}
    # Some files state the vocabulary first, and the shape behind it.
    write_llama(tmp_path / "m.gguf", general__architecture="granitehybrid", **keys)
    needed = []
    for parallel in ("1", "16"):
        monkeypatch.setenv("DISTILLER_LLM_PARALLEL", parallel)
        needed.append(needed_mib(run(capsys, monkeypatch, tmp_path, 8 * GIB)[2]))
    # 15 sequences more, of four layers each with 4 MiB.
    assert needed[1] - needed[0] >= 15 * 4 * 4


def test_without_a_model_the_reserve_is_told(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run(capsys, monkeypatch, tmp_path, 8 * GIB)
    assert status == 0
    assert f"MemoryMax={recommend_limits(8 * GIB, 0, 0).max}" in out
    assert err == "no model; 820 of 8192 MiB are reserved for the system\n"


def test_a_damaged_model_is_reported_and_left_out(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"junk")
    status, out, err = run(capsys, monkeypatch, tmp_path, 8 * GIB)
    assert status == 0
    assert "MemoryMax=" in out
    assert err.startswith("the model cannot be read: ")


def test_a_model_that_does_not_fit_is_told(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_llama(tmp_path / "m.gguf")
    status, _, err = run(capsys, monkeypatch, tmp_path, GIB // 4)
    assert status == 0
    assert err.endswith("its context will be lowered, or it will not load\n")


def test_an_unknown_amount_of_memory_is_an_error(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run(capsys, monkeypatch, tmp_path, None)
    assert (status, out, err) == (1, "", "/proc/meminfo does not state the amount of memory\n")
