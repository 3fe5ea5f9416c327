"""What a server holds at rest may not grow, nor its cache beyond its bounds."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts.fault_trials import ledger
from scripts.fault_trials.ledger import Ledger
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import Target

MB = 1_000_000


class Server:
    """A target that holds what a test says."""

    http_pid = os.getpid()

    def __init__(self) -> None:
        self.model = "small.gguf"
        self.engine_mb = 100.0
        self.in_memory = self.on_disk = self.in_files = 0
        self.engine = {"requests": 0}
        self.n_silent = 0
        self.http = SimpleNamespace(get=self._get)

    def _get(self, path: str) -> Any:
        health = {"status": "ok", "engine": self.engine, "current_model": self.model}
        memory = {"bytes": self.in_memory, "capacity_bytes": 8 * MB}
        disk = {"bytes": self.on_disk, "capacity_bytes": 64 * MB}
        cache: dict[str, Any] = {"tiers": {"memory": memory, "disk": disk}}
        if path == "/cache" and self.n_silent:
            self.n_silent -= 1
            cache = {"tiers": None} if self.n_silent % 2 else {"error": "no model"}
        return SimpleNamespace(json=lambda: cache if path == "/cache" else health)

    def n_engines(self) -> int:
        return 1

    def n_files(self) -> int:
        return 19

    def cache_bytes(self) -> int:
        return self.in_files

    def memory_mb(self) -> tuple[float, float]:
        return 60.0, self.engine_mb


def looked(*looks: dict[str, Any]) -> list[str]:
    """Return what is lost after looks at a server, of which each changes something."""
    server, tally = Server(), Tally("looks")
    book = Ledger(cast(Target, server), cache_mb=64)
    for look in looks:
        vars(server).update(look)
        book.look(tally)
    book.close(tally)
    return tally.losses


@pytest.fixture(autouse=True)
def _nothing_is_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_WARM_S", -1.0)
    monkeypatch.setattr(ledger, "_LEAST_LOOKS", 1)


def test_a_server_that_stays_as_it_was_loses_nothing() -> None:
    assert looked({}, {}, {}, {}) == []


def test_an_engine_that_was_killed_in_the_last_moment_is_waited_for() -> None:
    assert looked({}, {"n_silent": 2}, {}) == []


def test_an_engine_that_stays_silent_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_SETTLE_S", 0.0)
    losses = looked({"n_silent": 9})
    assert "no engine says what it keeps" in losses[1]


def test_an_engine_that_grows_is_a_loss() -> None:
    (loss,) = looked({}, {"engine_mb": 120.0})
    assert "small.gguf: 100 in the first five minutes, 120 at last" in loss


def test_what_the_cache_in_memory_holds_is_no_growth() -> None:
    assert looked({}, {"engine_mb": 107.0, "in_memory": 7 * MB}) == []


def test_engines_of_other_models_are_not_compared() -> None:
    assert looked({}, {"engine_mb": 300.0, "model": "large.gguf"}) == []


@pytest.mark.parametrize(
    "look", [{"in_memory": 9 * MB}, {"on_disk": 65 * MB}, {"in_files": 70 * MB}]
)
def test_a_cache_beyond_its_bounds_is_a_loss(look: dict[str, int]) -> None:
    assert len(looked(look)) == 1
