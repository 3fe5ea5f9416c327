"""What a log line looks like, whoever wrote it, and that logging never raises."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import warnings
from typing import Any

import pytest
import structlog

from app import logs

pytestmark = pytest.mark.usefixtures("logging_as_before")

Capture = pytest.CaptureFixture[str]


def lines(capture: Capture) -> list[dict[str, Any]]:
    out, err = capture.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def line(capture: Capture) -> dict[str, Any]:
    (only,) = lines(capture)
    return only


# ---------------------------------------------------------------- form


def test_a_line_is_one_json_object_with_the_standing_keys_first(capsys: Capture) -> None:
    logs.configure("info", "json")
    logs.get_logger("app.test").info("model loaded", model="m.gguf", load_ms=12.5)
    found = line(capsys)
    assert list(found) == ["timestamp", "level", "event", "logger", "model", "load_ms"]
    assert found["level"] == "info"
    assert found["event"] == "model loaded"
    assert found["logger"] == "app.test"
    assert found["load_ms"] == 12.5


def test_the_timestamp_is_utc_with_milliseconds(capsys: Capture) -> None:
    logs.configure("info", "json")
    logs.get_logger("t").info("x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line(capsys)["timestamp"])


def test_bound_fields_and_context_are_part_of_the_line(capsys: Capture) -> None:
    logs.configure("info", "json")
    structlog.contextvars.bind_contextvars(request_id="r1")
    logs.get_logger("t").bind(model="m").info("x")
    found = line(capsys)
    assert (found["request_id"], found["model"]) == ("r1", "m")


def test_a_logger_made_before_configuring_works_after_it(capsys: Capture) -> None:
    logger = logs.get_logger("early")
    logs.configure("info", "json")
    logger.info("x")
    assert line(capsys)["logger"] == "early"


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written(
    level: logs.LogLevel, expected: list[str], capsys: Capture
) -> None:
    logs.configure(level, "json")
    for logger in (logs.get_logger("ours"), logging.getLogger("theirs")):
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)("x")
    assert [found["level"] for found in lines(capsys)] == expected * 2


def test_configuring_twice_writes_each_line_once(capsys: Capture) -> None:
    logs.configure("info", "json")
    logs.configure("info", "json")
    logs.get_logger("ours").info("a")
    logging.getLogger("theirs").info("b")
    assert [found["event"] for found in lines(capsys)] == ["a", "b"]


def test_the_console_form_is_for_people(capsys: Capture) -> None:
    logs.configure("info", "console")
    logs.get_logger("t").info("model loaded", model="m.gguf")
    logging.getLogger("theirs").warning("careful")
    first, second = capsys.readouterr().err.splitlines()
    assert "model loaded" in first
    assert "model=m.gguf" in first
    assert "careful" in second
    assert "\x1b" not in first


def test_auto_is_json_where_stderr_is_no_terminal(capsys: Capture) -> None:
    logs.configure("info", "auto")
    logs.get_logger("t").info("x")
    assert line(capsys)["event"] == "x"


# ---------------------------------------------------------------- the standard library


@pytest.mark.parametrize("name", ["sanic.root", "sanic.error", "sanic.server", "asyncio", "other"])
def test_lines_of_other_libraries_have_the_same_form(name: str, capsys: Capture) -> None:
    logs.configure("info", "json")
    structlog.contextvars.bind_contextvars(request_id="r1")
    logging.getLogger(name).warning("%s of %d", "one", 2)
    found = line(capsys)
    assert list(found)[:4] == ["timestamp", "level", "event", "logger"]
    assert (found["event"], found["level"], found["logger"]) == ("one of 2", "warning", name)
    assert found["request_id"] == "r1"
    assert not any(key.startswith("_") for key in found)


def test_handlers_that_a_library_set_up_are_replaced(capsys: Capture) -> None:
    library = logging.getLogger("sanic.root")
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    logs.configure("info", "json")
    library.warning("x")
    assert line(capsys)["event"] == "x"


def test_the_access_log_of_sanic_is_silent(capsys: Capture) -> None:
    logs.configure("debug", "json")
    logging.getLogger("sanic.access").error("GET /")
    assert lines(capsys) == []


def test_warnings_are_log_lines(capsys: Capture) -> None:
    logs.configure("info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    found = line(capsys)
    assert (found["logger"], found["level"]) == ("py.warnings", "warning")
    assert "old thing" in found["event"]


def test_a_record_whose_arguments_do_not_fit_is_still_a_line(capsys: Capture) -> None:
    logs.configure("info", "json")
    logging.getLogger("theirs").warning("%d tokens", "many")
    found = line(capsys)
    assert found["event"] == "log_format_failed"
    assert found["logger"] == "theirs"
    assert "%d tokens" in found["template"]


# ---------------------------------------------------------------- exceptions and odd values


def test_an_exception_is_one_string_in_the_same_line(capsys: Capture) -> None:
    logs.configure("info", "json")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logs.get_logger("ours").exception("a")
        logging.getLogger("theirs").exception("b")
    for found, level in zip(lines(capsys), ["error", "error"], strict=True):
        assert found["level"] == level
        assert found["exception"].startswith("Traceback (most recent call last)")
        assert found["exception"].endswith("RuntimeError: broken")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_odd_values_are_described_and_never_raise(capsys: Capture) -> None:
    logs.configure("info", "json")
    endless: list[object] = []
    endless.append(endless)
    log = logs.get_logger("t")
    log.info("a", data=b"ab\xff", thing={1, 2}, nested={"x": object})
    log.info("b", bad=Unprintable())
    log.info("c", endless=endless)
    log.info("d", keys={(1, 2): 3})
    log.info("e", lone="\udc80", text="grün")
    log.info("f", speed=float("nan"), n=1)
    found = lines(capsys)
    assert [one["event"] for one in found] == ["a", "b", "c", "d", "e", "f"]
    assert found[0]["data"] == "ab\\xff"
    assert found[0]["thing"] == "{1, 2}"
    assert "Unprintable" in found[1]["bad"]
    assert found[4]["text"] == "grün"
    assert (found[5]["speed"], found[5]["n"]) == ("nan", 1)


def test_line_breaks_stay_inside_the_line(capsys: Capture) -> None:
    logs.configure("info", "json")
    logs.get_logger("t").info("one\ntwo", value="three\r\nfour")
    assert line(capsys)["event"] == "one\ntwo"


# ---------------------------------------------------------------- the way out


def run_python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options
    )


def test_lines_reach_stderr_even_when_the_process_is_killed_at_once() -> None:
    code = (
        "import os, signal; from app import logs; logs.configure('info');"
        "logs.get_logger('t').info('last words'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert json.loads(run_python(code).stderr)["event"] == "last words"


def test_a_closed_stderr_does_not_raise() -> None:
    code = (
        "import sys; from app import logs; logs.configure('info'); sys.stderr.close();"
        "logs.get_logger('t').info('x'); sys.stderr = None; logs.get_logger('u').error('y');"
        "logs.configure('info'); print('alive')"
    )
    found = run_python(code)
    assert (found.returncode, found.stdout) == (0, "alive\n")


def test_stderr_of_another_encoding_still_gets_json() -> None:
    code = "from app import logs; logs.configure('info'); logs.get_logger('t').info('grün')"
    found = run_python(code, env={"PYTHONIOENCODING": "ascii"})
    assert json.loads(found.stderr)["event"] == "grün"
