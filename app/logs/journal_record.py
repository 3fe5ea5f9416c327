"""Owns the mapping of log records to journal fields; must not know how they are sent.

`MESSAGE` is for people, all other fields are for queries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.logs.journal_socket import field_name
from app.logs.values import to_text

IDENTIFIER = "distiller-llm"

_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_STANDARD_KEYS = ("timestamp", "level", "event", "logger", "exception", "stack")
_MESSAGE_KEYS = ("text", "message", "error", "reason")
_RESERVED = re.compile(
    r"MESSAGE(_ID)?|PRIORITY|EVENT|LOGGER|EXCEPTION|SYSLOG_.*|CODE_.*|ERRNO|UNIT"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MAX_VALUE_CHARS = 120
_MAX_DETAIL_CHARS = 600


def record_of(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the journal fields of a log record.

    `request_ids`, a list, becomes one `REQUEST_ID` per item, so that a query for any item matches.
    """
    yield "MESSAGE", message_of(line)
    yield "PRIORITY", str(_PRIORITIES.get(str(line.get("level")), 6))
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    yield "EVENT", to_text(line.get("event"))
    yield "LOGGER", to_text(line.get("logger"))
    trace = str(line.get("exception") or "").strip()
    if trace:
        yield "EXCEPTION", trace.splitlines()[-1]
    for name, value in _details(line):
        if name == "request_ids" and isinstance(value, list | tuple):
            yield from (("REQUEST_ID", to_text(request_id)) for request_id in value)
            continue
        journal_name = field_name(str(name))
        is_reserved = _RESERVED.fullmatch(journal_name)
        yield field_name(f"FIELD_{journal_name}") if is_reserved else journal_name, to_text(value)


def message_of(line: Mapping[str, Any]) -> str:
    """Return `MESSAGE`: the event, its main text, its details, and a traceback below."""
    details = dict(_details(line))
    main_text = next((details.pop(name) for name in _MESSAGE_KEYS if details.get(name)), None)
    sentence = to_text(line.get("event"))
    if main_text is not None:
        sentence += f": {to_text(main_text)}"
    shown: list[str] = []
    for name, value in details.items():
        text = f"{name}={_shortened(to_text(value))}"
        if sum(map(len, shown)) + len(text) <= _MAX_DETAIL_CHARS:
            shown.append(text)
    if shown:
        sentence += f" ({', '.join(shown)})"
    below = [str(line[name]).rstrip() for name in ("exception", "stack") if line.get(name)]
    return _CONTROL.sub(_escaped, "\n".join([sentence, *below]))


def _details(line: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in line.items():
        if name not in _STANDARD_KEYS and value is not None:
            yield name, value


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_VALUE_CHARS else text[: _MAX_VALUE_CHARS - 1] + "…"


def _escaped(found: re.Match[str]) -> str:
    """Return a control character as text; journalctl hides a message that has one."""
    return f"\\x{ord(found[0]):02x}"
