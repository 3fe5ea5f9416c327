"""An evicted model finishes its requests before its engine ends."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from app.host.eviction import Evictions
from app.host.serving import Serving


class Engine:
    pid = 1

    def __init__(self) -> None:
        self.is_draining = asyncio.Event()
        self.finished = asyncio.Event()
        self.timeouts: list[float | None] = []
        self.is_closed = False

    async def drained(self, timeout_s: float | None) -> None:
        self.timeouts.append(timeout_s)
        self.is_draining.set()
        await self.finished.wait()

    async def close(self) -> None:
        assert self.finished.is_set()
        self.is_closed = True


class Model:
    name = "m.gguf"

    def __init__(self) -> None:
        self.engine = Engine()


async def test_a_model_drains_before_its_engine_is_closed() -> None:
    evictions, model = Evictions(), Model()
    serving = cast(Serving, model)
    evicting = asyncio.create_task(evictions.evict(serving, 3.0))
    await model.engine.is_draining.wait()
    assert (evictions.draining, model.engine.is_closed) == ([serving], False)
    model.engine.finished.set()
    await evicting
    assert (evictions.draining, model.engine.is_closed) == ([], True)
    assert model.engine.timeouts == [3.0]


async def test_a_model_whose_eviction_is_cancelled_drains_no_longer() -> None:
    evictions, model = Evictions(), Model()
    evicting = asyncio.create_task(evictions.evict(cast(Serving, model), None))
    await model.engine.is_draining.wait()
    evicting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await evicting
    assert not evictions.draining
