"""Work in the background goes on whoever waits for it, and never fails unheard."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.background_tasks import BackgroundWork, WorkEnded, start_task
from app.errors import ModelLoadFailed

APP = Path(__file__).parents[1] / "app"
ERRORS = [ModelLoadFailed("no such file"), KeyError("defect")]
# Who starts these reads their results in the same function.
AWAITED = {
    "api/answering/arrivals.py": 1,
    "background_tasks.py": 2,  # the helpers themselves
    "host/requests/resumable_request.py": 1,
    "web/server.py": 1,
}


async def fail(error: Exception, after: asyncio.Event | None = None) -> None:
    if after:
        await after.wait()
    raise error


def failures(lines: Any) -> list[tuple[str, Exception]]:
    return [
        (line["task"], line["exc_info"])
        for line in lines
        if line["event"] == "background_task_failed"
    ]


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_that_ends_a_task_is_logged(error: Exception) -> None:
    with capture_logs() as lines:
        await asyncio.wait([start_task(fail(error))])
    assert failures(lines) == [("fail", error)]


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_that_ends_work_nobody_waits_for_is_logged(error: Exception) -> None:
    work = BackgroundWork()
    with capture_logs() as lines:
        work.start(fail(error))
        await work.ended()
    assert failures(lines) == [("fail", error)]
    assert not work.is_running


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_reaches_who_waits_and_is_not_logged_too(error: Exception) -> None:
    with capture_logs() as lines, pytest.raises(type(error)) as raised:
        await BackgroundWork().outcome(fail(error))
    assert raised.value is error
    assert failures(lines) == []


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_is_logged_when_who_waited_has_gone_away(error: Exception) -> None:
    work, may_go_on = BackgroundWork(), asyncio.Event()
    with capture_logs() as lines:
        waiting = asyncio.create_task(work.outcome(fail(error, may_go_on)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert work.is_running
        may_go_on.set()
        await work.ended()
    assert waiting.cancelled()
    assert failures(lines) == [("fail", error)]


async def test_work_that_ends_well_or_is_cancelled_is_not_logged() -> None:
    async def succeed() -> str:
        return "done"

    work = BackgroundWork()
    with capture_logs() as lines:
        assert await work.outcome(succeed()) == "done"
        work.start(asyncio.Event().wait())
        await asyncio.wait(work.cancel())
    assert lines == []


async def test_who_waits_is_told_that_the_work_was_cancelled() -> None:
    work = BackgroundWork()
    waiting = asyncio.create_task(work.outcome(asyncio.Event().wait()))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(WorkEnded):
        await waiting


def test_no_task_is_started_past_the_helper() -> None:
    found = {
        str(path.relative_to(APP)): n
        for path in APP.rglob("*.py")
        if (n := sum(map(_starts_task, ast.walk(ast.parse(path.read_text())))))
    }
    assert found == AWAITED


def _starts_task(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("create_task", "ensure_future")
    )
