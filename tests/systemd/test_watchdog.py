"""When the service itself needs a new start, told from what its supervisor repairs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.host.cache_folder import CacheFolder
from app.host.process import spawn
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.protocol import CacheParams, DescribeCache, LoadParams, QueueParams
from app.systemd.watchdog import SupervisorHealth
from tests.models.gguf_files import write_llama


@pytest.fixture
async def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Supervisor]:
    write_llama(tmp_path / "first.gguf")
    monkeypatch.setattr(spawn, "_ENGINE_MODULE", "tests.host.fake_engine")
    made = Supervisor(
        Catalog(tmp_path),
        LoadParams(n_ctx=512),
        QueueParams(),
        CacheFolder(tmp_path / "cache", CacheParams()),
        timeouts=Timeouts(load_timeout_s=60, engine_timeout_s=0.2, drain_timeout_s=5),
    )
    yield made
    await made.stop()


def trouble(supervisor: Supervisor) -> str:
    """Return what is wrong right now."""
    liveness = SupervisorHealth(supervisor, grace_s=0.0)
    liveness.problem()
    return liveness.problem()


async def test_loading_serving_and_stopping_are_no_trouble(supervisor: Supervisor) -> None:
    assert trouble(supervisor) == ""
    supervisor.start("first.gguf")
    assert trouble(supervisor) == ""
    await supervisor.settled()
    assert trouble(supervisor) == ""
    supervisor.begin_stop()
    assert trouble(supervisor) == ""


async def test_an_engine_that_is_being_started_again_is_no_trouble(supervisor: Supervisor) -> None:
    serving = await supervisor.use("first.gguf", {})
    serving.engine.kill()
    await serving.engine.exited()
    while supervisor.status.name == "restarting":
        assert trouble(supervisor) == ""
        await asyncio.sleep(0.01)
    assert supervisor.status.name == "ok"


async def test_a_restart_that_nobody_works_on_is_trouble(supervisor: Supervisor) -> None:
    supervisor.status.name = "restarting"
    assert "no load or restart" in trouble(supervisor)


async def test_a_silent_engine_is_trouble_once_it_should_have_been_ended(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = (await supervisor.use("first.gguf", {})).engine
    assert engine._hang_task
    engine._hang_task.cancel()  # what would end it is stuck
    os.kill(engine.pid, signal.SIGSTOP)
    asking = asyncio.create_task(engine.ask(DescribeCache(request_id="r"), "r"))
    await asyncio.sleep(0.05)
    assert trouble(supervisor) == ""
    await asyncio.sleep(0.3)
    assert "hung" in trouble(supervisor)
    os.kill(engine.pid, signal.SIGCONT)
    await asking
    assert trouble(supervisor) == ""


async def test_trouble_counts_only_when_it_lasts(supervisor: Supervisor) -> None:
    supervisor.status.name = "restarting"
    liveness = SupervisorHealth(supervisor, grace_s=0.2)
    assert liveness.problem() == ""
    await asyncio.sleep(0.25)
    assert liveness.problem() != ""
    supervisor.status.name = "no_model"
    assert liveness.problem() == ""
    supervisor.status.name = "restarting"
    assert liveness.problem() == ""
