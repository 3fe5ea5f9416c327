"""llama.cpp's log lines arrive whole, and the first that names something explains a failure."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import pytest

from app.engine.llama import build_version, library, route_logs
from app.engine.llama.bindings import lib, package_version
from tests.engine.llama.nano import load_model

DEBUG, INFO, WARNING, ERROR, CONTINUES = 1, 2, 3, 4, 5

Log = Callable[[int, bytes], None]


@pytest.fixture
def lines() -> Iterator[list[tuple[str, str]]]:
    """What is logged while a test runs."""
    taken: list[tuple[str, str]] = []
    route_logs(lambda level, text: taken.append((level, text)))
    yield taken
    route_logs(lambda _level, _text: None)


@pytest.fixture
def log(lines: list[tuple[str, str]]) -> Log:
    """Logs as llama.cpp does."""
    callback = library._log_callback_alive
    return lambda level, text: callback(level, text, ctypes.c_void_p(0))


def test_a_load_is_logged(lines: list[tuple[str, str]]) -> None:
    load_model()
    assert [level for level, text in lines if text.startswith("print_info: arch ")] == ["info"]


@pytest.mark.parametrize(
    ("level", "name"),
    [(DEBUG, "debug"), (INFO, "info"), (WARNING, "warning"), (ERROR, "error"), (77, "info")],
)
def test_levels_have_names(log: Log, lines: list[tuple[str, str]], level: int, name: str) -> None:
    log(level, b"text\n")
    assert lines == [(name, "text")]


def test_a_line_that_is_logged_in_parts_arrives_once(
    log: Log, lines: list[tuple[str, str]]
) -> None:
    log(WARNING, b"a ")
    log(CONTINUES, b"b")
    assert lines == []
    log(CONTINUES, b" c\nnext\n")
    assert lines == [("warning", "a b c"), ("warning", "next")]


def test_progress_dots_and_empty_lines_are_dropped(log: Log, lines: list[tuple[str, str]]) -> None:
    log(INFO, b"\n")
    log(INFO, b" ....\n")
    assert lines == []


def test_bytes_that_are_no_text_are_replaced(log: Log, lines: list[tuple[str, str]]) -> None:
    log(INFO, b"a\xffb\n")
    assert lines == [("info", "a\ufffdb")]


def test_the_first_error_that_names_something_says_why_a_load_failed(
    log: Log, lines: list[tuple[str, str]]
) -> None:
    library.forget_errors()
    assert library.because() == ""
    log(ERROR, b"f_load: error loading model: key not found in model: x.y\n")
    log(WARNING, b"'z'\n")
    log(ERROR, b"f_load: failed to load model\n")
    assert library.because() == ": key not found in model: x.y"
    library.forget_errors()
    assert library.because() == ""


def test_the_version_names_llama_cpp_and_the_package() -> None:
    own = lib.llama_version().decode()
    assert build_version() == f"{own}+{package_version()}"
