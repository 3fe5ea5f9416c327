"""Silence is told once for every stretch of it, and never while things happen."""

from __future__ import annotations

import asyncio

from app.host.process.idle_timer import IdleTimer

IDLE_S = 0.05
CLOCK_S = 0.001  # what timers of an event loop are exact to


async def test_silence_is_told_again_and_again_until_the_end() -> None:
    told = asyncio.Event()
    timer = IdleTimer(IDLE_S, told.set)
    for _ in range(2):
        await asyncio.wait_for(told.wait(), timeout=10)
        told.clear()
    timer.close()
    await asyncio.sleep(3 * IDLE_S)
    assert not told.is_set()


async def test_what_happens_puts_the_silence_off() -> None:
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[float] = asyncio.Queue()
    timer = IdleTimer(IDLE_S, lambda: told.put_nowait(loop.time()))
    await asyncio.sleep(IDLE_S / 2)
    reset_s = loop.time()
    timer.reset()
    told_s = await asyncio.wait_for(told.get(), timeout=10)
    timer.close()
    assert told_s >= reset_s + IDLE_S - CLOCK_S
