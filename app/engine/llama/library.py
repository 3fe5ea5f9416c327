"""Owns what concerns llama.cpp as a whole: its version, its log lines, its errors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from app.engine.llama.bindings import lib, package_version
from app.engine.llama.error_lines import cause

LogSink = Callable[[str, str], None]
_LOG_LEVELS = {1: "debug", 2: "info", 3: "warning", 4: "error"}
_LOG_CONTINUES = 5

_log_callback_alive: Any = None
_MAX_ERRORS = 64
_errors: list[str] = []  # since `forget_errors`, the first ones


def route_logs(sink: LogSink) -> None:
    """Send llama.cpp's log lines to `sink(level, text)`, one call a line.

    llama.cpp prints some lines in parts; the parts are joined here.
    """
    pending = ""
    level = "info"

    def on_log(raw_level: int, text: bytes, _user_data: Any) -> None:
        nonlocal pending, level
        if raw_level != _LOG_CONTINUES:
            level = _LOG_LEVELS.get(raw_level, "info")
        pending += text.decode("utf-8", "replace")
        while "\n" in pending:
            line, pending = pending.split("\n", 1)
            if line.strip(" ."):
                if level == "error" and len(_errors) < _MAX_ERRORS:
                    _errors.append(line.strip())
                sink(level, line.rstrip())

    global _log_callback_alive
    callback = lib.llama_log_callback(on_log)
    lib.llama_log_set(callback, ctypes.c_void_p(0))
    _log_callback_alive = callback  # the one before may go only now


def forget_errors() -> None:
    """Start over before a call whose failure `because` is to explain."""
    _errors.clear()


def because() -> str:
    """Return the cause among llama.cpp's error lines since `forget_errors`, to end a message."""
    found = cause(_errors)
    return f": {found}" if found else ""


def build_version() -> str:
    """Return the versions of llama.cpp and of the package that carries it."""
    raw: bytes = lib.llama_version()
    return f"{raw.decode()}+{package_version()}"
