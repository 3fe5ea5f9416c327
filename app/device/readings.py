"""Owns reading the device's sensors in /sys and /proc; must not know when or for whom.

A value that the device does not report is None. Nothing here raises.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from app.device.kernel_files import fields, number, text

_KIB = 1024
_PLAUSIBLE_C = (-60.0, 200.0)
# Bits of the Raspberry Pi firmware's get_throttled that hold now; the others hold since boot.
_UNDER_VOLTAGE_BIT = 1 << 0
_THROTTLED_BITS = 1 << 1 | 1 << 2 | 1 << 3
_FIRMWARE_FILES = (
    "sys/devices/platform/*firmware*/get_throttled",
    "sys/devices/platform/*/*firmware*/get_throttled",
)
_PROCESSOR_COOLING = ("cpufreq", "processor")


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of the device's sensors.

    `temperature_c` is the highest of `temperatures_c`. The frequencies are those of the fastest
    core. `throttled` is whether the processor is slowed down by heat or a weak power supply. Memory
    pressure is the kernel's (PSI): the share of the last ten seconds, in percent, in which some or
    all tasks stalled on memory. Free space is what an unprivileged user may write.
    """

    temperature_c: float | None = None
    temperatures_c: dict[str, float] = {}
    cpu_mhz: int | None = None
    cpu_max_mhz: int | None = None
    throttled: bool | None = None
    under_voltage: bool | None = None
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    memory_pressure_some_percent: float | None = None
    memory_pressure_full_percent: float | None = None
    models_free_bytes: int | None = None
    cache_free_bytes: int | None = None
    load_average: list[float] | None = None


def read_device(models_dir: Path, cache_dir: Path, root: Path = Path("/")) -> DeviceState:
    """Return a reading; takes about a millisecond.

    Args:
        root: the folder that contains proc and sys.
    """
    temperatures = dict(_temperatures(root))
    cpu_mhz, cpu_max_mhz = (_mhz(root, name) for name in ("scaling_cur_freq", "cpuinfo_max_freq"))
    firmware = _firmware_flags(root)
    memory = fields(root / "proc/meminfo")
    some, full = _pressure(root)
    return DeviceState(
        temperature_c=max(temperatures.values(), default=None),
        temperatures_c=temperatures,
        cpu_mhz=cpu_mhz,
        cpu_max_mhz=cpu_max_mhz,
        throttled=_throttled(root, firmware),
        under_voltage=_under_voltage(root, firmware),
        memory_total_bytes=_bytes(memory, "MemTotal"),
        memory_available_bytes=_bytes(memory, "MemAvailable"),
        swap_total_bytes=_bytes(memory, "SwapTotal"),
        swap_free_bytes=_bytes(memory, "SwapFree"),
        memory_pressure_some_percent=some,
        memory_pressure_full_percent=full,
        models_free_bytes=_free_bytes(models_dir),
        cache_free_bytes=_free_bytes(cache_dir),
        load_average=_load_average(root),
    )


def _temperatures(root: Path) -> Iterator[tuple[str, float]]:
    """Yield names and temperatures: thermal zones, then hwmon sensors that are no thermal zone."""
    seen = set()
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        name = text(zone / "type") or zone.name
        celsius = _celsius(zone / "temp")
        if celsius is not None:
            seen.add(name.replace("-", "_"))
            yield name, celsius
    for path in sorted(root.glob("sys/class/hwmon/hwmon*/temp*_input")):
        chip = text(path.parent / "name") or path.parent.name
        label = text(path.with_name(path.name.replace("_input", "_label")))
        celsius = _celsius(path)
        if celsius is not None and chip.replace("-", "_") not in seen:
            yield f"{chip} {label or path.name.removesuffix('_input')}", celsius


def _celsius(path: Path) -> float | None:
    thousandths = number(path)
    celsius = None if thousandths is None else thousandths / 1000.0
    is_plausible = celsius is not None and _PLAUSIBLE_C[0] < celsius < _PLAUSIBLE_C[1]
    return celsius if is_plausible else None


def _mhz(root: Path, name: str) -> int | None:
    found = [number(path) for path in root.glob(f"sys/devices/system/cpu/cpufreq/policy*/{name}")]
    return max((khz // 1000 for khz in found if khz is not None), default=None)


def _firmware_flags(root: Path) -> int | None:
    for pattern in _FIRMWARE_FILES:
        for path in root.glob(pattern):
            with contextlib.suppress(ValueError):
                return int(text(path), 16)
    return None


def _throttled(root: Path, firmware: int | None) -> bool | None:
    """Return whether the firmware or the kernel throttles the processor."""
    states = [] if firmware is None else [bool(firmware & _THROTTLED_BITS)]
    for device in root.glob("sys/class/thermal/cooling_device*"):
        state = number(device / "cur_state")
        kind = text(device / "type").lower()
        if state is not None and any(word in kind for word in _PROCESSOR_COOLING):
            states.append(state > 0)
    return any(states) if states else None


def _under_voltage(root: Path, firmware: int | None) -> bool | None:
    """Return whether the supply voltage is too low; the driver rpi_volt polls every two seconds."""
    for chip in root.glob("sys/class/hwmon/hwmon*"):
        if text(chip / "name") == "rpi_volt":
            alarm = number(chip / "in0_lcrit_alarm")
            if alarm is not None:
                return alarm > 0
    return None if firmware is None else bool(firmware & _UNDER_VOLTAGE_BIT)


def _bytes(memory: Mapping[str, int], name: str) -> int | None:
    kib = memory.get(name)
    return None if kib is None else kib * _KIB


def _pressure(root: Path) -> tuple[float | None, float | None]:
    """Return avg10 of the lines `some` and `full` of /proc/pressure/memory."""
    found: dict[str, float] = {}
    for line in text(root / "proc/pressure/memory").splitlines():
        kind, _, rest = line.partition(" avg10=")
        with contextlib.suppress(ValueError, IndexError):
            found[kind] = float(rest.split()[0])
    return found.get("some"), found.get("full")


def _free_bytes(folder: Path) -> int | None:
    """Return the free space of a folder's file system; the folder may not exist yet."""
    for path in (folder, *folder.parents):
        try:
            found = os.statvfs(path)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return found.f_bavail * found.f_frsize
    return None


def _load_average(root: Path) -> list[float] | None:
    try:
        return [float(word) for word in text(root / "proc/loadavg").split()[:3]] or None
    except ValueError:
        return None
