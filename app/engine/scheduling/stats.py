"""Owns what the engine reports about itself while it runs: figures and log lines."""

from __future__ import annotations

import time

from app.engine.changing_heads import ChangingHeads
from app.engine.ipc.outbox import Outbox
from app.engine.kv.cache_report import cache_counts
from app.engine.kv.kv_cache import KvCache
from app.engine.scheduling.scheduler import Scheduler
from app.engine.system.throughput import Throughput
from app.protocol import Stats

_INTERVAL_S = 0.25


class StatsReporter:
    """Posts `Stats`, and the prompt cache's log lines, a few times a second.

    Args:
        scheduler: how many requests there are.
        kv_cache: what the tiers hold.
        throughput: how fast the engine is.
        outbox: takes the events.
        heads: the instructions that keep changing.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        kv_cache: KvCache,
        throughput: Throughput,
        outbox: Outbox,
        heads: ChangingHeads,
    ) -> None:
        self._scheduler = scheduler
        self._kv_cache = kv_cache
        self._throughput = throughput
        self._outbox = outbox
        self._heads = heads
        self._reported_s = 0.0

    def report(self, *, is_due: bool) -> None:
        """Post the figures if it is time to, or `is_due` says so."""
        now_s = time.monotonic()
        if now_s - self._reported_s < _INTERVAL_S and not is_due:
            return
        self._reported_s = now_s
        for line in (*self._kv_cache.disk.take_log_lines(), *self._heads.take_log_lines()):
            self._outbox.post(line)
        self._outbox.post(
            Stats(
                waiting=len(self._scheduler.waiting),
                running=len(self._scheduler.running),
                kv_tokens=self._kv_cache.kv_tokens,
                idle_bytes=self._kv_cache.store.n_bytes,
                prefill_tokens_per_s=round(self._throughput.prefill_tokens_per_s, 1),
                decode_tokens_per_s=round(self._throughput.decode_tokens_per_s, 1),
                cache=cache_counts(self._kv_cache),
                hints=[head.message for head in self._heads.found],
            )
        )
