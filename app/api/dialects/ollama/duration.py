"""Owns reading `keep_alive`: a number of seconds, or a duration as Go writes it; no I/O."""

from __future__ import annotations

import math
import re
from typing import Any

FOREVER_S = -1.0

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_PART = re.compile(rf"({_NUMBER})({'|'.join(_UNITS_S)})")
_DURATION = re.compile(rf"([+-]?)((?:{_PART.pattern})+)")
_PLAIN = re.compile(rf"[+-]?{_NUMBER}")
_LONGEST_S = 1e9  # some thirty years: longer ones are for ever
_MAX_CHARS = 64


def seconds_of(value: Any) -> float | None:
    """Return the seconds that a `keep_alive` asks for; negative is for ever, None the default.

    A text without a unit is a number of seconds, which Ollama refuses.

    Raises:
        ValueError: it is neither a number nor a duration.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _bounded(float(min(max(value, -1), _LONGEST_S)))
    if isinstance(value, str):
        return _read(value.strip())
    raise ValueError('must be a number of seconds, or a duration such as "5m" or "-1m"')


def _read(text: str) -> float:
    if len(text) <= _MAX_CHARS:
        if _PLAIN.fullmatch(text):
            return _bounded(float(text))
        if found := _DURATION.fullmatch(text):
            total = sum(float(n) * _UNITS_S[unit] for n, unit in _PART.findall(found[2]))
            return _bounded(-total if found[1] == "-" else total)
    raise ValueError('must be a duration such as "300s", "1h30m" or "-1m"')


def _bounded(seconds: float) -> float:
    is_forever = seconds < 0 or math.isnan(seconds) or seconds >= _LONGEST_S
    return FOREVER_S if is_forever else seconds
