"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from tests.live.server import LiveServer

settings.register_profile("fast", max_examples=10)  # `scripts/test --fast`


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that ask for more than `scripts/test` has time for."""
    parser.addoption(
        "--stream-answers",
        type=int,
        default=None,
        help="random answers to stream in each dialect (tests/live/test_streams_of_dialects.py)",
    )


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    """A server with the bundled model that tests share; they must leave it as it was."""
    with LiveServer("--sse-ping-s", "1") as live:
        yield live.wait_healthy()


@pytest.fixture
def own_server() -> Iterator[LiveServer]:
    """A server of the test's own, to be broken."""
    with LiveServer() as live:
        yield live.wait_healthy()


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Undo what a test sets up of logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
