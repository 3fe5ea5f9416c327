"""The device's readings are gauges in base units; a reading that is missing has none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from prometheus_client.core import Sample

from app.api.device_gauges import DeviceGauges
from app.device.readings import DeviceState
from app.device.watch import DeviceWatch


def samples(state: DeviceState) -> list[Sample]:
    watch = cast(DeviceWatch, SimpleNamespace(state=state))
    return [sample for gauge in DeviceGauges(watch).collect() for sample in gauge.samples]


def values(state: DeviceState) -> dict[str, float]:
    """Return the values of the gauges without labels, by name."""
    return {
        sample.name.removeprefix("distiller_llm_device_"): sample.value
        for sample in samples(state)
        if not sample.labels
    }


def test_a_device_without_sensors_has_no_gauges() -> None:
    assert samples(DeviceState()) == []


def test_temperatures_are_labelled_by_sensor() -> None:
    found = samples(DeviceState(temperatures_c={"cpu-thermal": 61.5, "nvme Composite": 40.0}))
    assert {sample.name for sample in found} == {"distiller_llm_device_temperature_celsius"}
    assert {sample.labels["sensor"]: sample.value for sample in found} == {
        "cpu-thermal": 61.5,
        "nvme Composite": 40.0,
    }


def test_values_are_in_base_units() -> None:
    state = DeviceState(
        cpu_mhz=1500, memory_pressure_some_percent=12.5, memory_pressure_full_percent=0.0
    )
    assert values(state) == {
        "cpu_frequency_hertz": 1.5e9,
        "memory_pressure_some_ratio": 0.125,
        "memory_pressure_full_ratio": 0.0,
    }


def test_flags_are_0_or_1() -> None:
    assert values(DeviceState(throttled=True, under_voltage=False)) == {
        "throttled": 1,
        "under_voltage": 0,
    }


def test_sizes_and_load_are_reported_as_read() -> None:
    state = DeviceState(
        memory_total_bytes=8 * 1024**3, cache_free_bytes=5, load_average=[1.5, 1.0, 0.5]
    )
    assert values(state) == {"memory_bytes": 8 * 1024**3, "cache_free_bytes": 5, "load1": 1.5}
