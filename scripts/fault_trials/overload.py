"""Owns the trial with ten times more clients than answers that run at once."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from scripts.fault_trials.knocker import Knocker
from scripts.fault_trials.streams import StreamFailed, pieces, story
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import CHAT, Target

_PARALLEL = 4
_CLIENTS = 10 * _PARALLEL
_QUEUE = 8
# Idle conversations fill their share of memory within the first minutes.
_SETTINGS = {
    "parallel": _PARALLEL,
    "max_queue": _QUEUE,
    "n_ctx": 4096,
    "max_tokens": 256,
    "idle_cache_mb": 16,
}
_HEALTH_P99_MS = 100.0
_LOOK_EVERY_S = 1.0
_MOST_GROWTH = 1.05


def overload(minutes: float, seed: int) -> list[Tally]:
    """Ask for more than the server can give, for so many minutes."""
    tally = Tally(f"{_CLIENTS} clients, {_PARALLEL} answers at once, {minutes:g} minutes")
    with TemporaryDirectory() as folder, Target(Path(folder), _SETTINGS) as target:
        end_s = time.monotonic() + 60.0 * minutes
        waits = Waits()
        with (
            Knocker(target.url, "/health") as knocker,
            ThreadPoolExecutor(_CLIENTS) as pool,
        ):
            for number in range(_CLIENTS):
                dice = random.Random(f"{seed}/{number}")
                pool.submit(_client, target.url, tally, waits, dice, end_s)
            held = list(_memory(target, end_s))
        target.check(tally, "the overload")
    _judge_memory(tally, held)
    health = knocker.tally("`GET /health` meanwhile")
    health.seen[f"99 of 100 within {knocker.p99_ms():.0f} ms"] = 1
    if knocker.p99_ms() > _HEALTH_P99_MS:
        health.lose(f"{knocker.p99_ms():.0f} ms, {_HEALTH_P99_MS:.0f} asked")
    return [tally, waits.tally(), health]


class Waits:
    """How long those in the queue waited, and how long those in front of it were told to."""

    def __init__(self) -> None:
        self.queued_s: list[float] = []
        self.told_s: list[float] = []

    def tally(self) -> Tally:
        """Return whether who was told to come back found another queue."""
        tally = Tally("429 with Retry-After", tried=len(self.told_s))
        if not self.told_s or not self.queued_s:
            return tally
        told_s, queued_s = statistics.median(self.told_s), statistics.median(self.queued_s)
        tally.seen[
            f"told to wait {told_s:.0f} s where a place in the queue took {queued_s:.2f} s"
        ] = 1
        if told_s + 1.0 < queued_s:
            tally.lose(
                f"told to come back after {told_s:.0f} s, but the queue took {queued_s:.1f} s"
            )
        return tally


def _client(url: str, tally: Tally, waits: Waits, dice: random.Random, end_s: float) -> None:
    with httpx.Client(base_url=url, timeout=120.0) as client:
        while time.monotonic() < end_s:
            body = story(dice.randrange(100), dice.randrange(10, 120))
            ask = _ask_streamed if dice.random() < 0.5 else _ask_whole
            try:
                wait_s = ask(client, body, waits)
            except (httpx.HTTPError, StreamFailed) as error:
                tally.note("a broken answer")
                tally.lose(repr(error))
                continue
            tally.note("429" if wait_s else "answered")
            if wait_s:
                waits.told_s.append(wait_s)
                time.sleep(min(wait_s, max(0.0, end_s - time.monotonic())))


def _ask_streamed(client: httpx.Client, body: dict[str, Any], _waits: Waits) -> float:
    """Ask once; return the seconds after which to ask again, 0.0 where there was an answer."""
    try:
        for _ in pieces(client, body):
            pass
    except StreamFailed as error:
        if error.retry_after_s is None:
            raise
        return error.retry_after_s
    return 0.0


def _ask_whole(client: httpx.Client, body: dict[str, Any], waits: Waits) -> float:
    response = client.post(CHAT, json=body | {"stream": False})
    if response.status_code == 429:
        return float(response.headers["retry-after"])
    response.raise_for_status()
    waits.queued_s.append(response.json()["timings"]["queue_ms"] / 1000.0)
    return 0.0


def _memory(target: Target, end_s: float) -> Iterator[tuple[float, float]]:
    while time.monotonic() < end_s:
        time.sleep(_LOOK_EVERY_S)
        yield target.memory_mb()


def _judge_memory(tally: Tally, held: list[tuple[float, float]]) -> None:
    """Compare the first third with the last one."""
    third = max(1, len(held) // 3)
    for name, held_mb in zip(("HTTP process", "engine"), zip(*held, strict=True), strict=True):
        first, last = max(held_mb[:third]), max(held_mb[-third:])
        tally.seen[f"{name} {first:.0f} → {last:.0f} MB"] = 1
        if last > first * _MOST_GROWTH:
            tally.lose(f"the {name} grew from {first:.0f} to {last:.0f} MB")
