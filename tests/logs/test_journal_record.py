"""Which journal fields a log record becomes; `MESSAGE` stays readable."""

from __future__ import annotations

import pytest

from app.logs.journal_record import message_of, record_of

LINE = {
    "timestamp": "2026-01-01T00:00:00.000Z",
    "level": "warning",
    "event": "request",
    "logger": "access",
    "request_id": "r1",
    "status": 200,
    "ttft_ms": 12.5,
    "finish_reason": None,
    "saved": True,
    "notes": ["a", "b"],
}


def test_every_bound_field_is_one_of_the_journals() -> None:
    assert list(record_of(LINE)) == [
        (
            "MESSAGE",
            'request (request_id=r1, status=200, ttft_ms=12.5, saved=true, notes=["a", "b"])',
        ),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "distiller-llm"),
        ("EVENT", "request"),
        ("LOGGER", "access"),
        ("REQUEST_ID", "r1"),
        ("STATUS", "200"),
        ("TTFT_MS", "12.5"),
        ("SAVED", "true"),
        ("NOTES", '["a", "b"]'),
    ]


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3")]
)
def test_levels_are_those_of_syslog(level: str, priority: str) -> None:
    assert dict(record_of({"level": level, "event": "x"}))["PRIORITY"] == priority


def test_a_line_of_several_requests_is_found_by_each() -> None:
    fields = list(record_of({"event": "engine_exited", "request_ids": ["r1", "r2"]}))
    assert [value for name, value in fields if name == "REQUEST_ID"] == ["r1", "r2"]


def test_a_bound_field_never_takes_the_place_of_a_standing_one() -> None:
    fields = list(record_of({"event": "e", "message": "m", "priority": 0, "syslog_pid": 1}))
    assert [name for name, _ in fields].count("MESSAGE") == 1
    assert dict(fields)["FIELD_MESSAGE"] == "m"
    assert dict(fields)["FIELD_PRIORITY"] == "0"
    assert dict(fields)["FIELD_SYSLOG_PID"] == "1"


def test_the_sentence_begins_with_what_says_the_most() -> None:
    line = {"event": "model_load_failed", "model": "m.gguf", "error": "no such file"}
    assert message_of(line) == "model_load_failed: no such file (model=m.gguf)"


def test_the_sentence_stays_short_whatever_is_bound() -> None:
    line = {"event": "e", **{f"field{n}": "x" * 1000 for n in range(100)}}
    assert len(message_of(line)) < 1000


def test_a_traceback_is_in_the_same_record() -> None:
    trace = "Traceback (most recent call last):\n  File …\nValueError: broken"
    fields = dict(record_of({"level": "error", "event": "defect", "exception": trace}))
    assert fields["MESSAGE"] == f"defect\n{trace}"
    assert fields["EXCEPTION"] == "ValueError: broken"


def test_control_characters_do_not_hide_the_message() -> None:
    assert message_of({"event": "e", "text": "\x1b[31mred\0"}) == "e: \\x1b[31mred\\x00"
