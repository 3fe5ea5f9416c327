"""Owns what of a log line goes into which field of the journal; must not know how it is sent.

`MESSAGE` is the sentence that people read, everything else is there to search for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.logs.journal_socket import field_name
from app.logs.values import to_text

IDENTIFIER = "distiller-llm"

_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_STANDING = ("timestamp", "level", "event", "logger", "exception", "stack")
_SAYS_MOST = ("text", "message", "error", "reason")
_TAKEN = re.compile(r"MESSAGE(_ID)?|PRIORITY|EVENT|LOGGER|EXCEPTION|SYSLOG_.*|CODE_.*|ERRNO|UNIT")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MOST_VALUE_CHARS = 120
_MOST_DETAIL_CHARS = 600


def record_of(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a log line's journal record.

    `request_ids`, a list, becomes one `REQUEST_ID` for each, so that a search for any finds it.
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
        known_as = field_name(str(name))
        taken = _TAKEN.fullmatch(known_as)
        yield field_name(f"FIELD_{known_as}") if taken else known_as, to_text(value)


def message_of(line: Mapping[str, Any]) -> str:
    """Return the sentence for people: the event, what it says, its details, a traceback below."""
    details = dict(_details(line))
    told = next((details.pop(name) for name in _SAYS_MOST if details.get(name)), None)
    sentence = to_text(line.get("event"))
    if told is not None:
        sentence += f": {to_text(told)}"
    shown: list[str] = []
    for name, value in details.items():
        text = f"{name}={_shortened(to_text(value))}"
        if sum(map(len, shown)) + len(text) <= _MOST_DETAIL_CHARS:
            shown.append(text)
    if shown:
        sentence += f" ({', '.join(shown)})"
    below = [str(line[name]).rstrip() for name in ("exception", "stack") if line.get(name)]
    return _CONTROL.sub(_escaped, "\n".join([sentence, *below]))


def _details(line: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in line.items():
        if name not in _STANDING and value is not None:
            yield name, value


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_VALUE_CHARS else text[: _MOST_VALUE_CHARS - 1] + "…"


def _escaped(found: re.Match[str]) -> str:
    """Return a control character as text; journalctl hides a message that has one."""
    return f"\\x{ord(found[0]):02x}"
