"""Owns the form of log lines and where they go; must know nothing of what is logged.

Every line of the process, structlog's and the standard library's alike, is one JSON object on
stderr (or a coloured line on a terminal). A line that cannot be written is dropped: logging
never ends the service.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Literal, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]

_LEVELS: dict[LogLevel, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_ROUTED_LOGGERS = ("sanic.root", "sanic.error", "sanic.server", "asyncio", "py.warnings")
_SILENCED_LOGGERS = ("sanic.access",)

# A logger that was bound earlier holds this very list, so it is refilled and never replaced.
_processors: list[Processor] = []


def configure(level: LogLevel, log_format: LogFormat = "auto") -> None:
    """Send the log lines of the whole process to stderr.

    Call it at the start, before the first line; a later call changes form and level of all loggers.

    Args:
        level: the lowest level that is written.
        log_format: `auto` is `console` where stderr is a terminal, else `json`.
    """
    console = log_format == "console" or (log_format == "auto" and _stderr_is_terminal())
    renderer = _console_renderer() if console else _render_json
    _processors[:] = [*_shared_processors(), renderer]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,  # so that the level can change while the service runs
    )
    _route_standard_logging(_LEVELS[level], renderer)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger whose lines carry `name`; may be called before `configure`."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(name))


# ---------------------------------------------------------------- from event to line


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _put_first_things_first,
    ]


def _put_first_things_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {
        "timestamp": now.replace("+00:00", "Z"),
        "level": event.pop("level"),
        "event": event.pop("event", None),
        "logger": event.pop("logger", None),
        **event,
    }


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    ascii_only = _stderr_encoding() != "utf-8"
    try:
        return json.dumps(event, default=_describe, ensure_ascii=ascii_only, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # odd keys or numbers, endless lists
        plain = {str(key): _plain(value) for key, value in event.items()}
        return json.dumps(plain, ensure_ascii=ascii_only)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int) else _describe(value)


def _describe(value: object) -> str:
    try:
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else repr(value)
    except Exception as error:
        return f"<{type(value).__name__} without repr: {type(error).__name__}>"


def _console_renderer() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=_stderr_is_terminal(),
        exception_formatter=structlog.dev.plain_traceback,
        pad_event_to=0,
    )


def _stderr_encoding() -> str:
    return (getattr(sys.stderr, "encoding", None) or "utf-8").lower()


def _stderr_is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # no stderr at all, or a closed one
        return False


# ---------------------------------------------------------------- the one way out


_write_lock = threading.Lock()


def _write_line(line: str) -> None:
    try:
        encoding = _stderr_encoding()
        safe = line.encode(encoding, "backslashreplace").decode(encoding)
        with _write_lock:
            sys.stderr.write(safe + "\n")
            sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


class _Stderr:
    """What structlog calls a logger: it has a name and takes finished lines."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def info(self, line: str) -> None:
        _write_line(line)

    debug = warning = error = critical = info


class _StandardHandler(logging.Handler):
    """Takes the records of the standard library's loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:
            fallback = {
                "level": "error",
                "event": "log record could not be formatted",
                "logger": record.name,
                "template": _describe(record.msg),
                "error": _describe(error),
            }
            line = _render_json(None, "", _put_first_things_first(None, "", fallback))
        _write_line(line)


def _route_standard_logging(level: int, renderer: Processor) -> None:
    handler = _StandardHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared_processors(),
            processors=[_drop_record, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _ROUTED_LOGGERS:
        _reset(logging.getLogger(name))
    for name in _SILENCED_LOGGERS:
        logging.getLogger(name).disabled = True
    logging.captureWarnings(True)


def _reset(logger: logging.Logger) -> None:
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def _drop_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: value for key, value in event.items() if key not in ("_record", "_from_structlog")}
