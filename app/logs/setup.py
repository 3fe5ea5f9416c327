"""Owns the form of log lines and where they go; must know nothing of what is logged.

Every line of the process, structlog's and the standard library's alike, is one record in systemd's
journal where stderr leads there, and elsewhere one JSON object on stderr (or a coloured line on a
terminal). A line that cannot be written is dropped: logging never ends the service.
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

# A logger that was bound earlier holds this very list, so it is refilled and never replaced.
_processors: list[Processor] = []


def configure(level: LogLevel, log_format: LogFormat = "auto") -> None:
    """Send the log lines of the whole process to stderr, or to the journal.

    Call it at the start, before the first line; a later call changes form and level of all loggers.

    Args:
        level: the lowest level that is written.
        log_format: `auto` is `journal` where stderr leads to systemd's journal, `console` where it
            is a terminal, else `json`. Lines that the journal does not take are `json`.
    """
    renderers = _renderers(_chosen(log_format))
    _processors[:] = [*_shared_processors(), *renderers]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,  # so that the level can change while the service runs
    )
    _route_standard_logging(_LEVELS[level], renderers)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger whose lines carry `name`; may be called before `configure`."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(name))


def bound(name: str) -> str | None:
    """Return what the context of this task binds to each line under `name`."""
    value = structlog.contextvars.get_contextvars().get(name)
    return None if value is None else str(value)


# ---------------------------------------------------------------- from event to line


def _chosen(log_format: LogFormat) -> LogFormat:
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
    return to_json(event, ascii_only=_stderr_encoding() != "utf-8")


_journal = journal_socket.JournalSocket()


def _send_to_journal(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Send a line to the journal; one that it does not take goes on to the next processor."""
    try:
        record = journal_socket.encode(record_of(event))
    except Exception:  # nothing known does this, and a log line must not end its request
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
            line = _render_json(None, "", _put_first_things_first(None, "", fallback))
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
