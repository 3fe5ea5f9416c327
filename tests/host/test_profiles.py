"""Profiles are ready in an engine before it serves, and a bad one costs nothing but itself."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.host.cache_folder import CacheFolder
from app.host.process import spawn
from app.host.profiles import Profile
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.protocol import CacheParams, DescribeCache, LoadParams, QueueParams
from tests.models.gguf_files import write_llama


def profile(name: str, content: str = "ready", **fields: Any) -> Profile:
    messages = [{"role": "system", "content": content}]
    return Profile(name=name, messages=messages, tools=[], **fields)


class Service:
    """A supervisor with fake engines, and what they were told."""

    def __init__(self, folder: Path) -> None:
        for name in ("first.gguf", "second.gguf"):
            write_llama(folder / name)
        self.catalog = Catalog(folder)
        self.notes = folder / "notes"
        self.supervisor: Supervisor

    def make(self, *profiles: Profile) -> Supervisor:
        self.supervisor = Supervisor(
            self.catalog,
            LoadParams(n_ctx=512),
            QueueParams(),
            CacheFolder(self.catalog.models_dir / "cache", CacheParams()),
            profiles,
            timeouts=Timeouts(load_timeout_s=60, engine_timeout_s=60, drain_timeout_s=5),
        )
        return self.supervisor

    async def told(self) -> list[dict[str, Any]]:
        """Return the commands all engines got so far, in their order."""
        if serving := self.supervisor.serving:  # its answer comes after all that it was told before
            await serving.engine.ask(DescribeCache(request_id="r"), "r")
        notes = [json.loads(line) for line in self.notes.read_text().splitlines()]
        return [note for note in notes if note["type"] != "DescribeCache"]

    async def steps(self) -> list[str]:
        """Return the same in short: the name of a profile for its `Prefill`."""
        return [command.get("profile") or command["type"] for command in await self.told()]

    def states(self) -> dict[str, str]:
        return {state.name: state.state for state in self.supervisor.profiles}


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    made = Service(tmp_path)
    monkeypatch.setattr(spawn, "_ENGINE_MODULE", "tests.host.fake_engine")
    monkeypatch.setenv("FAKE_ENGINE_NOTES", str(made.notes))
    yield made
    await made.supervisor.stop()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def test_profiles_are_restored_in_their_order_and_then_the_model_serves(
    service: Service,
) -> None:
    supervisor = service.make(profile("kitchen"), profile("hall"))
    await supervisor.use("first.gguf", {})
    assert await service.steps() == ["Load", "kitchen", "hall", "KeepProfiles"]
    assert (await service.told())[-1]["names"] == ["kitchen", "hall"]
    assert service.states() == {"kitchen": "ready", "hall": "ready"}


async def test_without_profiles_an_engine_is_told_that_there_are_none(service: Service) -> None:
    await service.make().use("first.gguf", {})
    assert await service.steps() == ["Load", "KeepProfiles"]
    assert (await service.told())[-1]["names"] == []


@pytest.mark.parametrize("written", ["caf\u00e9", "cafe\u0301"])
@pytest.mark.parametrize("name", ["caf\u00e9.gguf", "cafe\u0301.gguf", "caf\u00e9.GGUF"])
def test_a_profile_names_its_model_in_any_unicode_form(written: str, name: str) -> None:
    assert profile("kitchen", model=written).is_for(name)
    assert profile("kitchen", model="").is_for(name)
    assert not profile("kitchen", model="cafe").is_for(name)


@pytest.mark.parametrize("named", ["second.gguf", "second"])
async def test_a_profile_of_another_model_waits_for_that_model(
    service: Service, named: str
) -> None:
    supervisor = service.make(profile("kitchen", model=named))
    await supervisor.use("first.gguf", {})
    assert service.states() == {"kitchen": "other_model"}
    await supervisor.use("second.gguf", {})
    assert service.states() == {"kitchen": "ready"}
    keeps = [note["names"] for note in await service.told() if note["type"] == "KeepProfiles"]
    assert keeps == [[], ["kitchen"]]


async def test_while_a_profile_is_restored_the_service_says_so_and_serves_nothing(
    service: Service, fifo: Path
) -> None:
    supervisor = service.make(profile("hall"), profile("kitchen", f"wait {fifo}"))
    supervisor.start("first.gguf")
    with await asyncio.to_thread(fifo.open, "w"):  # opens when the engine does
        status = supervisor.status
        assert status.name == "loading"
        assert status.message == "Profile 'kitchen' is being restored (2 of 2)"
        assert supervisor.serving is None
        assert service.states() == {"hall": "ready", "kitchen": "restoring"}
    await supervisor.settled()
    assert supervisor.status.name == "ok"


async def test_a_switch_is_done_when_the_profiles_of_the_new_model_are_ready(
    service: Service, fifo: Path
) -> None:
    supervisor = service.make(profile("kitchen", f"wait {fifo}", model="second"))
    first = await supervisor.use("first.gguf", {})
    switch = asyncio.create_task(supervisor.switch(service.catalog.find("second.gguf"), {}))
    with await asyncio.to_thread(fifo.open, "w"):
        assert supervisor.serving is first
        assert supervisor.status.name == "ok"
        assert "Profile" not in supervisor.status.message
        assert service.states() == {"kitchen": "other_model"}
    assert (await switch).name == "second.gguf"
    assert service.states() == {"kitchen": "ready"}


async def test_a_profile_that_is_refused_is_told_and_skipped(service: Service) -> None:
    supervisor = service.make(profile("bad", "refuse"), profile("good"))
    await supervisor.use("first.gguf", {})
    assert service.states() == {"bad": "failed", "good": "ready"}
    assert supervisor.profiles[0].message == "no such role"
    assert supervisor.status.restarts == 0
    assert (await service.told())[-1]["names"] == ["bad", "good"]


async def test_a_profile_that_ends_its_engine_is_left_out_of_the_next(service: Service) -> None:
    supervisor = service.make(profile("deadly", "die"), profile("good"), profile("bomb", "die"))
    supervisor.start("first.gguf")
    await supervisor.settled()
    assert supervisor.status.name == "ok"
    assert supervisor.status.restarts == 2
    assert "exit status 9" in (supervisor.status.last_failure or "")
    assert service.states() == {"deadly": "failed", "good": "ready", "bomb": "failed"}
    loads = ["Load", "deadly", "Load", "good", "bomb", "Load", "good", "KeepProfiles"]
    assert await service.steps() == loads


async def test_an_engine_that_takes_the_place_of_a_dead_one_gets_the_profiles_too(
    service: Service,
) -> None:
    supervisor = service.make(profile("kitchen"))
    first = await supervisor.use("first.gguf", {})
    assert await service.steps() == ["Load", "kitchen", "KeepProfiles"]
    first.engine.kill()
    await first.engine.exited()
    await supervisor.settled()
    assert (await supervisor.use(None, {})).engine is not first.engine
    assert await service.steps() == ["Load", "kitchen", "KeepProfiles"] * 2


async def test_a_stop_while_a_profile_is_restored_ends_the_engine(
    service: Service, fifo: Path
) -> None:
    supervisor = service.make(profile("kitchen", f"wait {fifo}"))
    supervisor.start("first.gguf")
    opened = await asyncio.to_thread(fifo.open, "w")
    await supervisor.stop()
    with pytest.raises(BrokenPipeError), opened:
        opened.write("nobody reads this any more")


async def test_an_engine_has_the_time_to_save_before_it_ends(service: Service) -> None:
    serving = await service.make().use("first.gguf", {})
    await service.supervisor.stop()
    assert (await service.steps())[-1] == "Shutdown"
    assert serving.engine.exit_reason == "exit status 0"
