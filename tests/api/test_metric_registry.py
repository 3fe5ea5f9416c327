"""The metrics count what was counted, under the names that dashboards know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.api.metric_registry import Metrics
from app.device.readings import DeviceState
from app.device.watch import DeviceWatch
from app.host.supervisor import Supervisor
from app.protocol import CacheCounts, KindCounts, Stats, Timings, Usage

STATS = Stats(
    waiting=3,
    running=2,
    kv_tokens=700,
    idle_bytes=4096,
    prefill_tokens_per_s=123.5,
    decode_tokens_per_s=45.5,
    cache=CacheCounts(
        memory_hits=4,
        disk_hits=5,
        misses={"empty": 6, "other_prompt": 7},
        not_restored={"no_state": 12, "corrupt": 13},
        memory_kinds=KindCounts(blocks=14, block_bytes=15, states=16, state_bytes=17),
        disk_kinds=KindCounts(blocks=18, block_bytes=19, states=20, state_bytes=21),
        restored_tokens=8,
        memory_bytes=9,
        disk_bytes=10,
        written_today_bytes=11,
    ),
)
ENGINE_COUNTERS = dict.fromkeys(
    ("cache_hits", "cache_misses", "cache_not_restored", "cache_restored_tokens"), "counter"
)
COUNTERS = {"tokens": "counter", "requests": "counter", "engine_restarts": "counter"}
HISTOGRAMS = dict.fromkeys(("ttft_seconds", "queue_seconds", "inter_token_seconds"), "histogram")
GAUGES = dict.fromkeys(
    (
        "up",
        "queue_depth",
        "active_sequences",
        "kv_tokens",
        "idle_cache_bytes",
        "kv_capacity_tokens",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "cache_memory_bytes",
        "cache_disk_bytes",
        "cache_written_today_bytes",
        "cache_entries",
        "cache_entry_bytes",
    ),
    "gauge",
)


def metrics(
    *, serves: bool = True, restarts: int = 0, device: DeviceState | None = None
) -> Metrics:
    serving = SimpleNamespace(engine=SimpleNamespace(stats=STATS), info=SimpleNamespace(n_ctx=4096))
    status = SimpleNamespace(restarts=restarts)
    supervisor: Any = SimpleNamespace(serving=serving if serves else None, status=status)
    state = DeviceState() if device is None else device
    watch: Any = SimpleNamespace(state=state)
    return Metrics(cast(Supervisor, supervisor), cast(DeviceWatch, watch))


def types(found: Metrics) -> dict[str, str]:
    families = text_string_to_metric_families(found.text().decode())
    return {family.name: family.type for family in families if not family.name.endswith("_created")}


def value(found: Metrics, name: str, **labels: str) -> float | None:
    """Return the value of a sample, or None where there is none."""
    for family in text_string_to_metric_families(found.text().decode()):
        for sample in family.samples:
            if sample.name == f"distiller_llm_{name}" and sample.labels == labels:
                return float(sample.value)
    return None


def timings(
    *,
    queue_ms: float = 20.0,
    ttft_ms: float = 300.0,
    predicted_n: int = 5,
    predicted_ms: float = 40,
) -> Timings:
    return Timings(
        queue_ms=queue_ms,
        ttft_ms=ttft_ms,
        prompt_n=6,
        prompt_ms=280.0,
        predicted_n=predicted_n,
        predicted_ms=predicted_ms,
        cache_n=4,
    )


USAGE = Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=5)


def test_all_metrics_have_their_names_and_types() -> None:
    expected = COUNTERS | ENGINE_COUNTERS | HISTOGRAMS | GAUGES
    assert types(metrics()) == {f"distiller_llm_{name}": kind for name, kind in expected.items()}


def test_without_a_model_there_is_nothing_to_say_of_an_engine() -> None:
    found = metrics(serves=False, restarts=2)
    assert value(found, "up") == 0.0
    assert value(found, "engine_restarts_total") == 2.0
    gone = set(types(metrics())) - set(types(found))
    assert gone == {f"distiller_llm_{name}" for name in GAUGES | ENGINE_COUNTERS if name != "up"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("up", 1.0),
        ("queue_depth", 3.0),
        ("active_sequences", 2.0),
        ("kv_tokens", 700.0),
        ("idle_cache_bytes", 4096.0),
        ("kv_capacity_tokens", 4096.0),
        ("prefill_tokens_per_second", 123.5),
        ("decode_tokens_per_second", 45.5),
        ("cache_memory_bytes", 9.0),
        ("cache_disk_bytes", 10.0),
        ("cache_written_today_bytes", 11.0),
        ("cache_restored_tokens_total", 8.0),
    ],
)
def test_numbers_of_the_engine_are_what_it_said_last(name: str, expected: float) -> None:
    assert value(metrics(), name) == expected


def test_cache_hits_are_told_by_tier_and_misses_by_reason() -> None:
    found = metrics()
    hits = {tier: value(found, "cache_hits_total", tier=tier) for tier in ("memory", "disk")}
    assert hits == {"memory": 4.0, "disk": 5.0}
    reasons = ("empty", "other_prompt")
    misses = {reason: value(found, "cache_misses_total", reason=reason) for reason in reasons}
    assert misses == {"empty": 6.0, "other_prompt": 7.0}


def test_what_was_cached_and_not_restored_is_told_by_reason() -> None:
    found = metrics()
    reasons = ("no_state", "corrupt")
    told = {reason: value(found, "cache_not_restored_total", reason=reason) for reason in reasons}
    assert told == {"no_state": 12.0, "corrupt": 13.0}


@pytest.mark.parametrize(
    ("tier", "kind", "expected"),
    [
        ("memory", "block", (14.0, 15.0)),
        ("memory", "state", (16.0, 17.0)),
        ("disk", "block", (18.0, 19.0)),
        ("disk", "state", (20.0, 21.0)),
    ],
)
def test_blocks_and_states_are_told_by_tier(
    tier: str, kind: str, expected: tuple[float, float]
) -> None:
    names = ("cache_entries", "cache_entry_bytes")
    number, size = (value(metrics(), name, tier=tier, kind=kind) for name in names)
    assert (number, size) == expected


def test_requests_are_counted_by_status() -> None:
    found = metrics()
    for status in (200, 200, 429, 499):
        found.count_request(status)
    counted = {status: value(found, "requests_total", status=status) for status in ("200", "429")}
    assert counted == {"200": 2.0, "429": 1.0}
    assert value(found, "requests_total", status="504") is None


def test_tokens_are_counted_by_kind() -> None:
    found = metrics()
    for _ in range(2):
        found.count_answer(USAGE, timings())
    counted = {kind: value(found, "tokens_total", kind=kind) for kind in ("prompt", "cached")}
    assert counted == {"prompt": 20.0, "cached": 8.0}
    assert value(found, "tokens_total", kind="completion") == 10.0


def test_times_are_observed_in_seconds() -> None:
    found = metrics()
    found.count_answer(USAGE, timings(queue_ms=20, ttft_ms=300, predicted_n=5, predicted_ms=40))
    sums = {name: value(found, f"{name}_seconds_sum") for name in ("queue", "ttft", "inter_token")}
    assert sums == {"queue": 0.02, "ttft": 0.3, "inter_token": 0.01}
    assert value(found, "ttft_seconds_bucket", le="0.25") == 0.0
    assert value(found, "ttft_seconds_bucket", le="0.5") == 1.0


@pytest.mark.parametrize(("predicted_n", "expected"), [(0, [0, 0]), (1, [1, 0]), (2, [1, 1])])
def test_an_answer_has_as_many_times_as_it_has_tokens_for(
    predicted_n: int, expected: list[float]
) -> None:
    found = metrics()
    found.count_answer(USAGE, timings(predicted_n=predicted_n))
    counts = [value(found, f"{name}_seconds_count") for name in ("ttft", "inter_token")]
    assert counts == expected
    assert value(found, "queue_seconds_count") == 1.0


def test_two_services_in_one_process_count_apart() -> None:
    first, second = metrics(), metrics()
    first.count_request(200)
    assert value(second, "requests_total", status="200") is None
