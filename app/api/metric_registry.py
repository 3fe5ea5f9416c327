"""Owns the Prometheus metrics of the service; must not know requests.

Names and numbers are those of `timings` and of the log line of a request; times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.api.device_gauges import DeviceGauges
from app.device.watch import DeviceWatch
from app.host.supervisor import Supervisor
from app.protocol import CacheCounts, Timings, Usage

_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BETWEEN_TOKENS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_PREFIX = "distiller_llm"


class Metrics:
    """The metrics of one service, counted from its start.

    Args:
        supervisor: provides the state of the engine.
        device: provides the readings of the device.
    """

    def __init__(self, supervisor: Supervisor, device: DeviceWatch) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Present(supervisor))
        self._registry.register(DeviceGauges(device))
        self._tokens = Counter(
            f"{_PREFIX}_tokens", "Tokens by kind", ["kind"], registry=self._registry
        )
        self._requests = Counter(
            f"{_PREFIX}_requests", "Requests by status", ["status"], registry=self._registry
        )
        self._first_token_s = Histogram(
            f"{_PREFIX}_ttft_seconds",
            "Time to the first token, from the arrival at the engine",
            buckets=_FIRST_TOKEN_S,
            registry=self._registry,
        )
        self._queue_s = Histogram(
            f"{_PREFIX}_queue_seconds",
            "Time in the queue",
            buckets=_FIRST_TOKEN_S,
            registry=self._registry,
        )
        self._between_tokens_s = Histogram(
            f"{_PREFIX}_inter_token_seconds",
            "Mean time between two tokens of an answer",
            buckets=_BETWEEN_TOKENS_S,
            registry=self._registry,
        )

    def count_request(self, status: int) -> None:
        """Count a request that was answered with `status`."""
        self._requests.labels(str(status)).inc()

    def count_answer(self, usage: Usage, timings: Timings) -> None:
        """Count the tokens and times of an answer."""
        self._tokens.labels("prompt").inc(usage.prompt_tokens)
        self._tokens.labels("cached").inc(usage.cached_tokens)
        self._tokens.labels("completion").inc(usage.completion_tokens)
        self._queue_s.observe(timings.queue_ms / 1000.0)
        if timings.predicted_n:
            self._first_token_s.observe(timings.ttft_ms / 1000.0)
        if timings.predicted_n > 1:
            mean_ms = timings.predicted_ms / (timings.predicted_n - 1)
            self._between_tokens_s.observe(mean_ms / 1000.0)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Present(Collector):
    """Exports the state of the engine at the time of the scrape."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        supervisor = self._supervisor
        serving = supervisor.serving
        yield GaugeMetricFamily(
            f"{_PREFIX}_up", "Whether a model serves", value=1 if serving else 0
        )
        restarts = CounterMetricFamily(f"{_PREFIX}_engine_restarts", "Engine restarts")
        restarts.add_metric([], supervisor.status.restarts)
        yield restarts
        if serving is None:
            return
        stats = serving.engine.stats
        for name, text, value in (
            ("queue_depth", "Requests that wait", stats.waiting),
            ("active_sequences", "Requests that are being answered", stats.running),
            ("kv_tokens", "Tokens held in the KV cache", stats.kv_tokens),
            ("idle_cache_bytes", "Memory that idle conversations take", stats.idle_bytes),
            ("kv_capacity_tokens", "Tokens the KV cache holds at most", serving.info.n_ctx),
            ("prefill_tokens_per_second", "Speed of prefill", stats.prefill_tokens_per_s),
            ("decode_tokens_per_second", "Speed of decode", stats.decode_tokens_per_s),
        ):
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
        yield from _cache(stats.cache)


def _cache(counts: CacheCounts) -> Iterator[Metric]:
    """Yield the metrics of the prompt cache; the counters reset when the engine restarts."""
    hits = CounterMetricFamily(
        f"{_PREFIX}_cache_hits", "Prompts that began in the cache, by tier", labels=["tier"]
    )
    hits.add_metric(["memory"], counts.memory_hits)
    hits.add_metric(["disk"], counts.disk_hits)
    yield hits
    misses = CounterMetricFamily(
        f"{_PREFIX}_cache_misses", "Prompts that did not, by reason", labels=["reason"]
    )
    for reason, count in counts.misses.items():
        misses.add_metric([reason], count)
    yield misses
    not_restored = CounterMetricFamily(
        f"{_PREFIX}_cache_not_restored",
        "Prompts that were cached and not restored, by reason",
        labels=["reason"],
    )
    for reason, count in counts.not_restored.items():
        not_restored.add_metric([reason], count)
    yield not_restored
    yield CounterMetricFamily(
        f"{_PREFIX}_cache_restored_tokens",
        "Tokens brought back to the KV cache",
        value=counts.restored_tokens,
    )
    for name, text, value in (
        ("memory_bytes", "Memory that cached prompts take", counts.memory_bytes),
        (
            "disk_bytes",
            "Disk space of the loaded model's cached prompts",
            counts.disk_bytes,
        ),
        ("written_today_bytes", "Bytes of prompts written today", counts.written_today_bytes),
    ):
        yield GaugeMetricFamily(f"{_PREFIX}_cache_{name}", text, value=value)
    yield from _cache_kinds(counts)


def _cache_kinds(counts: CacheCounts) -> Iterator[Metric]:
    """Yield how many blocks and states the tiers hold, and their bytes."""
    labels = ["tier", "kind"]
    number = GaugeMetricFamily(
        f"{_PREFIX}_cache_entries", "Blocks and states by tier and kind", labels=labels
    )
    size = GaugeMetricFamily(
        f"{_PREFIX}_cache_entry_bytes", "What they take, by tier and kind", labels=labels
    )
    for tier, kinds in (("memory", counts.memory_kinds), ("disk", counts.disk_kinds)):
        number.add_metric([tier, "block"], kinds.blocks)
        number.add_metric([tier, "state"], kinds.states)
        size.add_metric([tier, "block"], kinds.block_bytes)
        size.add_metric([tier, "state"], kinds.state_bytes)
    yield number
    yield size
