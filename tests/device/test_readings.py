"""What the device says of itself, from folders that look like /sys and /proc."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.device.readings import DeviceState, read_device
from tests.device.sysfs import write

RASPBERRY_PI = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61450\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon0/temp1_input": "61450\n",
    "sys/class/hwmon/hwmon1/name": "rp1_adc\n",
    "sys/class/hwmon/hwmon1/temp1_input": "52000\n",
    "sys/class/hwmon/hwmon2/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon2/in0_lcrit_alarm": "0\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "3\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
    "proc/meminfo": (
        "MemTotal: 8245536 kB\nMemAvailable: 6000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    ),
    "proc/pressure/memory": (
        "some avg10=1.50 avg60=0.20 avg300=0.00 total=12345\n"
        "full avg10=0.25 avg60=0.10 avg300=0.00 total=2345\n"
    ),
    "proc/loadavg": "1.50 0.75 0.25 2/345 6789\n",
}
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


def read(tmp_path: Path, files: Mapping[str, str]) -> DeviceState:
    return read_device(tmp_path, tmp_path / "not" / "yet", write(tmp_path / "root", files))


def test_a_raspberry_pi_tells_all(tmp_path: Path) -> None:
    state = read(tmp_path, {**RASPBERRY_PI, FIRMWARE: "0\n"})
    assert state.temperature_c == 61.45
    assert state.temperatures_c == {"cpu-thermal": 61.45, "rp1_adc temp1": 52.0}
    assert (state.cpu_mhz, state.cpu_max_mhz) == (1500, 2400)
    assert (state.throttled, state.under_voltage) == (False, False)
    assert state.memory_total_bytes == 8245536 * 1024
    assert state.memory_available_bytes == 6000000 * 1024
    assert (state.swap_total_bytes, state.swap_free_bytes) == (0, 0)
    assert state.memory_pressure_some_percent == 1.5
    assert state.memory_pressure_full_percent == 0.25
    assert state.load_average == [1.5, 0.75, 0.25]


def test_what_the_device_does_not_tell_is_null(tmp_path: Path) -> None:
    state = read(tmp_path, {})
    assert (state.models_free_bytes or 0) > 0
    assert state == DeviceState(
        models_free_bytes=state.models_free_bytes, cache_free_bytes=state.cache_free_bytes
    )


def test_nonsense_is_null_and_no_error(tmp_path: Path) -> None:
    state = read(tmp_path, dict.fromkeys([*RASPBERRY_PI, FIRMWARE], "nonsense avg10= \n\x00"))
    assert state.temperature_c is None
    assert state.throttled is None
    assert state.load_average is None


@pytest.mark.parametrize(
    ("flags", "throttled", "under_voltage"),
    [
        ("0", False, False),
        ("1", False, True),
        ("2", True, False),
        ("4", True, False),
        ("8", True, False),
        ("50005", True, True),
        ("f0000", False, False),
    ],
)
def test_the_firmware_says_what_is_now_and_not_what_was(
    tmp_path: Path, flags: str, throttled: bool, under_voltage: bool
) -> None:
    state = read(tmp_path, {FIRMWARE: f"{flags}\n"})
    assert (state.throttled, state.under_voltage) == (throttled, under_voltage)


def test_the_drivers_word_on_the_voltage_counts_before_the_firmwares(tmp_path: Path) -> None:
    files = {**RASPBERRY_PI, FIRMWARE: "0\n", "sys/class/hwmon/hwmon2/in0_lcrit_alarm": "1\n"}
    assert read(tmp_path, files).under_voltage is True


@pytest.mark.parametrize(
    ("kind", "state", "throttled"),
    [
        ("cpufreq-cpu0", "0", False),
        ("cpufreq-cpu0", "2", True),
        ("Processor", "3", True),
        ("pwm-fan", "3", None),
        ("intel_powerclamp", "-1", None),
    ],
)
def test_a_processor_that_the_kernel_cools_is_throttled(
    tmp_path: Path, kind: str, state: str, throttled: bool | None
) -> None:
    folder = "sys/class/thermal/cooling_device0"
    found = read(tmp_path, {f"{folder}/type": kind, f"{folder}/cur_state": state})
    assert found.throttled is throttled


def test_this_machine_can_be_read() -> None:
    assert (read_device(Path("/"), Path("/")).memory_total_bytes or 0) > 0
