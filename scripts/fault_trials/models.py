"""Owns the trials with model files: damaged ones, and many switches between good ones."""

from __future__ import annotations

import io
import random
import shutil
import time
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from app.models.facts import model_facts
from app.models.gguf import GgufError, read_header
from scripts.fault_trials.gguf_damage import damaged
from scripts.fault_trials.gguf_fields import layout_of
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import BUNDLED, GOOD, MODELS, Target

MAX_READ_S = 2.0
MAX_READ_BYTES = 64 * 1024**2
LOAD_TIMEOUT_S = 20.0
_BAD = "bad.gguf"
_DEATH = "the engine process exited"
_OTHER = "other.gguf"
_MOST_GROWTH = 0.02
_WARM_SWITCHES = 10


def read_damaged(times: int, seed: int) -> tuple[Tally, list[int]]:
    """Have damaged files read by the header reader; return also which of them passed."""
    tally = Tally("damaged model files, header reader")
    whole = (MODELS / BUNDLED).read_bytes()
    layout = layout_of(whole)
    passed = []
    tracemalloc.start()
    for number in range(times):
        data = damaged(whole, layout, random.Random(f"{seed}/{number}"))
        outcome = _read(data, tally, f"file {number}")
        tally.note(outcome)
        if outcome == "accepted":
            passed.append(number)
    tracemalloc.stop()
    return tally, passed


def _read(data: bytes, tally: Tally, name: str) -> str:
    file = io.BytesIO(data)
    tracemalloc.reset_peak()
    before, began_s = tracemalloc.get_traced_memory()[0], time.perf_counter()
    try:
        model_facts(read_header(file, len(data)))
        outcome = "accepted"
    except GgufError:
        outcome = "refused with the reason"
    except Exception as error:  # what is looked for
        tally.lose(f"{name}: {error!r}")
        outcome = "failed"
    peak = tracemalloc.get_traced_memory()[1] - before
    if peak > MAX_READ_BYTES or time.perf_counter() - began_s > MAX_READ_S:
        tally.lose(f"{name}: {time.perf_counter() - began_s:.1f} s, {peak} bytes")
    return outcome


def load_damaged(numbers: list[int], seed: int) -> Tally:
    """Have a server load damaged files, each after a good one."""
    tally = Tally("damaged model files that the header reader accepts, `/setModel`")
    whole = (MODELS / BUNDLED).read_bytes()
    layout = layout_of(whole)
    with (
        TemporaryDirectory() as folder,
        Target(
            Path(folder), {"load_timeout_s": LOAD_TIMEOUT_S, "engine_timeout_s": LOAD_TIMEOUT_S}
        ) as target,
    ):
        n_files = target.n_files()
        for number in numbers:
            fresh = target.folder / f".{number}.part"
            fresh.write_bytes(damaged(whole, layout, random.Random(f"{seed}/{number}")))
            fresh.replace(target.folder / _BAD)
            _load(target, tally, f"file {number}")
            if not target.is_alive:
                break
        if target.is_alive and target.n_files() > n_files:
            tally.lose(f"{target.n_files()} files are open, {n_files} at the start")
    return tally


def _load(target: Target, tally: Tally, name: str) -> None:
    try:
        response = target.load(_BAD, timeout_s=LOAD_TIMEOUT_S + 10)
    except httpx.HTTPError as error:
        tally.note("no answer")
        tally.lose(f"{name}: {error!r}")
        return
    refusal = response.json().get("error", {})
    code = refusal.get("code", "loaded")
    died = " as its engine died" if _DEATH in refusal.get("message", "") else ""
    tally.note(f"{response.status_code} {code}{died}")
    if code not in ("loaded", "model_load_failed", "insufficient_memory", "invalid_value"):
        tally.lose(f"{name}: {response.text}")
    if code == "loaded":
        _leave(target, tally, name)
    target.check(tally, name)


def _leave(target: Target, tally: Tally, name: str) -> None:
    """Ask a damaged model that did load something, then go back to the good one."""
    answer = target.ask()
    if "internal_error" in answer:
        tally.lose(f"{name}: {answer}")
    if "engine_died" in answer:
        tally.seen["of the loaded ones died at the first answer"] += 1
    back = target.load(GOOD, timeout_s=LOAD_TIMEOUT_S + 10)
    if back.status_code != 200:
        tally.lose(f"{name}: the good model did not come back: {back.text}")


def switch(times: int, seed: int) -> Tally:
    """Switch between two models; what the processes hold must not grow."""
    del seed  # nothing is left to chance
    tally = Tally("switches between two models")
    with TemporaryDirectory() as folder:
        shutil.copy(MODELS / BUNDLED, Path(folder) / _OTHER)
        with Target(Path(folder)) as target:
            before = (0.0, 0.0)
            n_files = 0
            for number in range(_WARM_SWITCHES + times):
                if number == _WARM_SWITCHES:
                    before, n_files = _held(target)
                response = target.load((_OTHER, GOOD)[number % 2], timeout_s=60)
                if number >= _WARM_SWITCHES:
                    tally.note(f"{response.status_code}")
                target.check(tally, f"switch {number}")
            after, n_files_after = _held(target)
            _compare(tally, before, after)
            if n_files_after > n_files:
                tally.lose(f"{n_files_after} files are open, {n_files} after the first switches")
    return tally


def _held(target: Target) -> tuple[tuple[float, float], int]:
    target.n_engines()
    return target.memory_mb(), target.n_files()


def _compare(tally: Tally, before: tuple[float, float], after: tuple[float, float]) -> None:
    for name, first, last in zip(("HTTP process", "engine"), before, after, strict=True):
        tally.seen[f"{name} {first:.1f} → {last:.1f} MB"] = 1
        if last > first * (1 + _MOST_GROWTH):
            tally.lose(f"the {name} grew from {first:.1f} to {last:.1f} MB")
