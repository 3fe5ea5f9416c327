"""Owns the description of the machine that figures belong to."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from llama_cpp import __version__ as binding_version
from llama_cpp import llama_cpp as lib


def describe_machine() -> dict[str, str]:
    """Return what a figure depends on besides our code, in words."""
    version = lib.llama_version()
    build = version.decode() if isinstance(version, bytes) else str(version)
    load = os.getloadavg()[0]
    return {
        "cpu": _cpu_model(),
        "cores": f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "llama.cpp": f"{build} (llama-cpp-python {binding_version})",
        "load": f"{load:.1f}" + (" (other work is running: expect drift)" if load > 0.5 else ""),
    }


def _cpu_model() -> str:
    """Return the processor's name; Arm boards state theirs in the device tree."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")
    except OSError:
        return platform.processor() or "unknown"
