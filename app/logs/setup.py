"""Owns the format and destination of log records; must know nothing of what is logged.

Every record of the process, from structlog or the standard library, goes to systemd's journal if
stderr is connected to it, else to stderr as a JSON object (as a coloured line on a terminal). A
record that cannot be written is dropped: logging never ends the service.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Literal, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.logs import journal_socket
from app.logs.journal_record import record_of
from app.logs.values import describe, to_json

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console", "journal"]

_LEVELS: dict[LogLevel, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_ROUTED_LOGGERS = ("sanic.root", "sanic.error", "sanic.server", "asyncio", "py.warnings")
_SILENCED_LOGGERS = ("sanic.access",)

# Bound loggers hold this list object, so it is refilled and never replaced.
_processors: list[Processor] = []


def configure(level: LogLevel, log_format: LogFormat = "auto") -> None:
    """Send the log records of the whole process to stderr or the journal.

    Call it before the first record; a later call changes format and level of all loggers.

    Args:
        level: the lowest level that is logged.
        log_format: `auto` is `journal` if stderr is connected to systemd's journal, `console` if it
            is a terminal, else `json`. Records that the journal rejects are written as `json`.
    """
    renderers = _renderers(_resolve(log_format))
    _processors[:] = [*_shared_processors(), *renderers]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,  # so that the level can change while the service runs
    )
    _route_standard_logging(_LEVELS[level], renderers)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger with that name; may be called before `configure`."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(name))


def bound(name: str) -> str | None:
    """Return the value bound to `name` in the current context, as text."""
    value = structlog.contextvars.get_contextvars().get(name)
    return None if value is None else str(value)


# ---------------------------------------------------------------- from event to line


def _resolve(log_format: LogFormat) -> LogFormat:
    if log_format != "auto":
        return log_format
    if journal_socket.is_stderr(os.environ):
        return "journal"
    return "console" if _stderr_is_terminal() else "json"


def _renderers(log_format: LogFormat) -> list[Processor]:
    match log_format:
        case "console":
            return [_console_renderer()]
        case "journal":
            return [_send_to_journal, _render_json]
        case _:
            return [_render_json]


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _order_keys,
    ]


def _order_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {
        "timestamp": now.replace("+00:00", "Z"),
        "level": event.pop("level"),
        "event": event.pop("event", None),
        "logger": event.pop("logger", None),
        **event,
    }


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return to_json(event, ascii_only=_stderr_encoding() != "utf-8")


_journal = journal_socket.JournalSocket()


def _send_to_journal(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Send a record to the journal; a rejected one goes on to the next processor."""
    try:
        record = journal_socket.encode(record_of(event))
    except Exception:  # not expected, but logging must not fail a request
        return event
    if _journal.send(record):
        raise structlog.DropEvent
    return event


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


# ---------------------------------------------------------------- output


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
    """The logger that structlog wraps: it writes rendered lines."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def info(self, line: str) -> None:
        _write_line(line)

    debug = warning = error = critical = info


class _StandardHandler(logging.Handler):
    """Handles the records of the standard library's loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except structlog.DropEvent:
            return
        except Exception as error:
            fallback = {
                "level": "error",
                "event": "log_format_failed",
                "logger": record.name,
                "template": describe(record.msg),
                "error": describe(error),
            }
            line = _render_json(None, "", _order_keys(None, "", fallback))
        _write_line(line)


def _route_standard_logging(level: int, renderers: list[Processor]) -> None:
    handler = _StandardHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared_processors(),
            processors=[_drop_record, *renderers],
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
