"""Owns fake engines for tests: spawned for real, with `tests.host.fake_engine` as their program."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.host.process import spawn
from app.host.process.engine_process import EngineProcess
from app.host.process.spawn import SpawnedEngine
from app.protocol import DescribeCache, Generate, SamplingParams


class FakeEngines:
    """Engines that note their commands, and a FIFO on which they wait."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fifo = folder / "fifo"
        self._notes = folder / "notes"
        self.refuses = folder / "refuses"
        self.exited: list[EngineProcess] = []
        self._monkeypatch = monkeypatch
        os.mkfifo(self.fifo)
        monkeypatch.setattr(spawn, "_ENGINE_MODULE", "tests.host.fake_engine")
        monkeypatch.setenv("FAKE_ENGINE_NOTES", str(self._notes))
        monkeypatch.setenv("FAKE_ENGINE_REFUSES", str(self.refuses))

    def block_loads(self) -> None:
        """Have the loads of engines spawned from now on wait for the FIFO."""
        self._monkeypatch.setenv("FAKE_ENGINE_LOAD", str(self.fifo))

    def spawn(self, *, silence_s: float = 60.0) -> EngineProcess:
        return EngineProcess(SpawnedEngine(), self.exited.append, silence_s=silence_s)

    async def release(self) -> None:
        """Let the engine that waits for the FIFO go on."""
        await asyncio.to_thread(self.fifo.write_bytes, b"")

    async def notes(self, engine: EngineProcess) -> list[dict[str, Any]]:
        """Return the commands that all engines got; `engine` has read all of its own."""
        await engine.ask(DescribeCache(request_id="notes"), "notes")
        return [json.loads(line) for line in self._notes.read_text().splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until a condition holds; an engine's event brings it about."""
    while not condition():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0)


def generate(order: str = "", *, name: str = "r", n: int = 1) -> Generate:
    """Return a request whose message is an order to the fake engine."""
    messages = json.dumps([{"role": "user", "content": order}]).encode()
    return Generate(request_id=name, messages=messages, sampling=SamplingParams(), n=n)
