"""Owns what a server holds while nobody asks it anything, and whether that grows."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import Target

_SETTLE_S = 20.0
_WARM_S = 300.0
_MOST_GROWTH = 0.02
_LEAST_LOOKS = 3  # at engines of a model
_MOST_ENGINE_GROWTH = 0.05  # of what it reads from disk, something is in its heap for a while


@dataclass(frozen=True, slots=True)
class _Held:
    """What two processes hold at rest."""

    at_s: float
    model: str
    http_mb: float
    engine_mb: float
    n_files: int
    n_threads: int


class Ledger:
    """Looks at a server at rest, over and over.

    Args:
        target: the server.
        cache_mb: MiB that its cache folder may hold.
    """

    def __init__(self, target: Target, cache_mb: float) -> None:
        self._target = target
        self._cache_mb = cache_mb
        self._began_s = time.monotonic()
        self._looks: list[_Held] = []

    def look(self, tally: Tally) -> None:
        """Wait until nothing is under way, and note what is held."""
        tally.note("looks")
        if not self._rests():
            tally.lose(f"requests are left over: {self._target.engine}")
        if self._target.n_engines() != 1:
            tally.lose(f"{self._target.n_engines()} engines run")
        cache_mb = self._target.cache_bytes() / 2**20
        if cache_mb > self._cache_mb:
            tally.lose(f"the cache takes {cache_mb:.0f} MiB of {self._cache_mb:.0f}")
        idle_mb = self._look_at_tiers(tally)
        http_mb, engine_mb = self._target.memory_mb()
        status = Path(f"/proc/{self._target.http_pid}/status").read_text()
        n_threads = int(status.split("Threads:")[1].split()[0])
        at_s = time.monotonic() - self._began_s
        model = self._target.http.get("/health").json()["current_model"]
        held = engine_mb - idle_mb
        n_files = self._target.n_files()
        self._looks.append(_Held(at_s, model, http_mb, held, n_files, n_threads))

    def _look_at_tiers(self, tally: Tally) -> float:
        """Note a tier that holds more than it may; return the MB of the one in memory."""
        tiers = self._tiers()
        if not tiers:
            tally.lose("no engine says what it keeps")
            return 0.0
        for name, tier in tiers.items():
            if tier["bytes"] > tier["capacity_bytes"]:
                tally.lose(f"{name} holds {tier['bytes']} bytes of {tier['capacity_bytes']}")
        return float(tiers["memory"]["bytes"]) / 1e6

    def line(self) -> str:
        """Return what the last look saw."""
        last = self._looks[-1]
        return (
            f"HTTP process {last.http_mb:.1f} MB, engine {last.engine_mb:.1f} MB, "
            f"{last.n_files} files, {last.n_threads} threads"
        )

    def close(self, tally: Tally) -> None:
        """Compare the looks of the first minutes with the later ones.

        Of engines, which are replaced over and over and grow with their work, the median of the
        later ones of a model may not be more than any was, without what the cache holds. Of the
        rest, it is the most there was.
        """
        warm = [look for look in self._looks if look.at_s <= _WARM_S] or self._looks[:1]
        late = self._looks[-max(1, len(self._looks) // 4) :]
        for name, unit, limit in (
            ("http_mb", "MB in the HTTP process", 1 + _MOST_GROWTH),
            ("n_files", "files", 1.0),
            ("n_threads", "threads", 1.0),
        ):
            first = max(getattr(look, name) for look in warm)
            last = max(getattr(look, name) for look in late)
            _compare(tally, unit, first, last, limit)
        for model in sorted({look.model for look in self._looks}):
            first, last = (
                [look.engine_mb for look in looks if look.model == model] for looks in (warm, late)
            )
            if min(len(first), len(last)) >= _LEAST_LOOKS:
                most, usual = max(first), statistics.median(last)
                name = f"MB in the engine of {model}"
                _compare(tally, name, most, usual, 1 + _MOST_ENGINE_GROWTH)

    def _rests(self) -> bool:
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline:
            health = self._target.http.get("/health").json()
            is_idle = health["status"] == "ok" and health["engine"].get("requests") == 0
            if is_idle and self._tiers():  # one that was just killed still counts as serving
                return True
            time.sleep(0.1)
        return False

    def _tiers(self) -> dict[str, Any]:
        """Return what the engine says of its cache; {} where none answers."""
        return self._target.http.get("/cache").json().get("tiers") or {}


def _compare(tally: Tally, unit: str, first: float, last: float, limit: float) -> None:
    tally.seen[f"{first:.4g} → {last:.4g} {unit}"] = 1
    if last > first * limit:
        tally.lose(f"{unit}: {first:.4g} in the first five minutes, {last:.4g} at last")
