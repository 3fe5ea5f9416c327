"""A quantised model is written with 32-bit weights, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.models.gguf import read_header
from scripts.benchmark.console import BenchFailed
from scripts.cache_trials.widened import widened
from tests.live.server import MODELS, NANO

F32 = 0


def test_all_weights_have_32_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = widened(MODELS / NANO)
    assert path.is_relative_to(tmp_path)
    assert path.stat().st_size > 3 * (MODELS / NANO).stat().st_size
    with path.open("rb") as file:
        assert read_header(file, path.stat().st_size).values["general.file_type"] == F32
    made_ns = path.stat().st_mtime_ns
    assert widened(MODELS / NANO).stat().st_mtime_ns == made_ns


def test_what_is_no_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = tmp_path / "no.gguf"
    model.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(BenchFailed):
        widened(model)
    assert not list(tmp_path.rglob("no-f32*"))
