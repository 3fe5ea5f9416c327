"""Owns the Prometheus gauges of the device; missing readings are omitted."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.device.readings import DeviceState
from app.device.watch import DeviceWatch

_PREFIX = "distiller_llm_device"
_HZ = 1_000_000


class DeviceGauges(Collector):
    """Exports the latest readings of the device.

    Args:
        device: provides the readings.
    """

    def __init__(self, device: DeviceWatch) -> None:
        self._device = device

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        state = self._device.state
        if state.temperatures_c:
            gauge = GaugeMetricFamily(
                f"{_PREFIX}_temperature_celsius", "Temperature by sensor", labels=["sensor"]
            )
            for name, celsius in state.temperatures_c.items():
                gauge.add_metric([name], celsius)
            yield gauge
        for name, text, value in _plain(state):
            if value is not None:
                yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)


def _plain(state: DeviceState) -> Iterator[tuple[str, str, float | None]]:
    yield "cpu_frequency_hertz", "Frequency of the fastest core", _hz(state.cpu_mhz)
    yield "cpu_max_frequency_hertz", "Highest frequency of the processor", _hz(state.cpu_max_mhz)
    yield "throttled", "Whether the processor is slowed down", state.throttled
    yield "under_voltage", "Whether the supply is too weak", state.under_voltage
    yield "memory_bytes", "Memory of the device", state.memory_total_bytes
    yield "memory_available_bytes", "Memory that can still be had", state.memory_available_bytes
    yield "swap_bytes", "Swap space", state.swap_total_bytes
    yield "swap_free_bytes", "Free swap space", state.swap_free_bytes
    some, full = state.memory_pressure_some_percent, state.memory_pressure_full_percent
    yield "memory_pressure_some_ratio", "Share of time some task waited for memory", _ratio(some)
    yield "memory_pressure_full_ratio", "Share of time all tasks waited for memory", _ratio(full)
    yield "models_free_bytes", "Free disk space of the models folder", state.models_free_bytes
    yield "cache_free_bytes", "Free disk space of the cache folder", state.cache_free_bytes
    if state.load_average:
        yield "load1", "Load average of the last minute", state.load_average[0]


def _hz(mhz: int | None) -> int | None:
    return None if mhz is None else mhz * _HZ


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100.0
