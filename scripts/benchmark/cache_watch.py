"""Owns when the server writes prompts to disk, seen from outside, and which pauses that touches."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from scripts.benchmark.console import BenchFailed
from scripts.benchmark.http_client import HttpClient

_EVERY_S = 0.25
_WRITTEN_TIMEOUT_S = 120.0

Span = tuple[float, float]


@dataclass(frozen=True)
class Sight:
    """What `GET /cache` told; times are on `time.perf_counter`'s clock.

    Attributes:
        asked_s: when it was asked.
        told_s: when the answer was there.
        n_waiting: entries that wait to be written or are being written.
        n_saves: entries handed to the writer so far.
    """

    asked_s: float
    told_s: float
    n_waiting: int
    n_saves: int


def look(client: HttpClient) -> Sight:
    """Ask once.

    Raises:
        BenchFailed: the server keeps nothing on disk.
    """
    asked_s = time.perf_counter()
    status, body = client.get("/cache")
    told_s = time.perf_counter()
    disk = (body.get("tiers") or {}).get("disk") or {}
    if status != 200 or disk.get("state") != "ok":
        raise BenchFailed(f"prompts are not kept on disk: GET /cache tells {status} {disk}")
    return Sight(asked_s, told_s, disk["waiting"], disk["saves"])


def wait_until_written(client: HttpClient, n_saves: int) -> None:
    """Wait until so many entries have been handed to the writer and none is left with it.

    Raises:
        BenchFailed: that takes too long.
    """
    began_s = time.perf_counter()
    while (sight := look(client)).n_saves < n_saves or sight.n_waiting:
        if sight.told_s - began_s > _WRITTEN_TIMEOUT_S:
            raise BenchFailed(f"{n_saves} prompts were not written in {_WRITTEN_TIMEOUT_S:g} s")
        time.sleep(_EVERY_S)


class CacheWatch:
    """Looks at the cache every quarter of a second until the `with` block ends.

    In a thread, so that the times of what streams meanwhile stay right.

    Attributes:
        sights: what was seen so far.
    """

    def __init__(self, client: HttpClient) -> None:
        self.sights: list[Sight] = []
        self._client = client
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.sights.append(look(self._client))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self.sights.append(look(self._client))

    def has_written(self, n_saves: int) -> bool:
        """Whether so many entries have been handed to the writer and none is left with it."""
        return self.sights[-1].n_saves >= n_saves and not self.sights[-1].n_waiting


def writing_spans(sights: Sequence[Sight]) -> list[Span]:
    """Return when entries were or may have been written: all times but those known to be quiet."""
    spans: list[Span] = []
    for before, after in itertools.pairwise(sights):
        if before.n_waiting or after.n_waiting or before.n_saves != after.n_saves:
            begin_s = before.asked_s
            if spans and spans[-1][1] >= begin_s:
                begin_s = spans.pop()[0]
            spans.append((begin_s, after.told_s))
    return spans


def split_gaps_ms(
    times_s: Sequence[float], spans: Sequence[Span]
) -> tuple[list[float], list[float]]:
    """Return the pauses between consecutive times that touch a span, and those that do not."""
    inside: list[float] = []
    outside: list[float] = []
    for before, after in itertools.pairwise(times_s):
        touches = any(before < end and after > begin for begin, end in spans)
        (inside if touches else outside).append((after - before) * 1000.0)
    return inside, outside
