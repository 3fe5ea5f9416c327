"""A spawned engine has a socket, a scrubbed environment, and dies before the service does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.host.process import spawn
from app.host.process.spawn import SpawnedEngine


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpawnedEngine]:
    monkeypatch.setattr(spawn, "_ENGINE_MODULE", "tests.host.fake_engine")
    monkeypatch.setenv("DISTILLER_LLM_API_KEYS", "laptop:0123456789abcdef")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    monkeypatch.setenv("LLAMA_ARG", "kept")
    engine = SpawnedEngine()
    yield engine
    engine.discard()


def proc(spawned: SpawnedEngine, name: str) -> str:
    return Path(f"/proc/{spawned.process.pid}/{name}").read_text()


def test_the_engine_gets_no_settings_and_no_keys(spawned: SpawnedEngine) -> None:
    names = {pair.partition("=")[0] for pair in proc(spawned, "environ").split("\0")}
    assert {"LLAMA_ARG", "PYTHONPATH", "PYTHONUNBUFFERED"} <= names
    assert not names & {"DISTILLER_LLM_API_KEYS", "CREDENTIALS_DIRECTORY"}


def test_the_oom_killer_prefers_the_engine(spawned: SpawnedEngine) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(proc(spawned, "oom_score_adj")) == min(own + 200, 1000)


def test_a_discarded_engine_is_killed_and_reaped(spawned: SpawnedEngine) -> None:
    spawned.discard()
    assert spawned.process.returncode == -9
    assert spawned.socket.fileno() == -1
