"""A plan becomes a model that serves, in an engine of its own; what fails leaves no process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import LoadParamsRefused, ModelLoadFailed
from app.host import loader as loader_module
from app.host.cache_folder import CacheFolder
from app.host.load_plan import LoadPlan, plan_load
from app.host.loader import Loader
from app.host.profiles import Profile
from app.host.serving import Status
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.promptcache.lock import FolderLock
from app.protocol import CacheParams, LoadParams, QueueParams
from tests.host.engines import FakeEngines, until
from tests.host.fake_engine import INFO
from tests.models.gguf_files import write_llama


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngines:
    return FakeEngines(tmp_path, monkeypatch)


@pytest.fixture
async def plan(tmp_path: Path) -> LoadPlan:
    write_llama(tmp_path / "m.gguf")
    catalog = Catalog(tmp_path)
    return await plan_load(catalog, catalog.find("m"), LoadParams(n_ctx=512), {})


def profile(name: str, order: str = "") -> Profile:
    return Profile(name=name, messages=[{"role": "system", "content": order}], tools=[])


class Made:
    """A loader, and the status that it reports to."""

    def __init__(self, folder: Path, fakes: FakeEngines, *profiles: Profile) -> None:
        self.root = folder / "cache"
        self.status = Status()
        self.loader = Loader(
            QueueParams(max_queue=7),
            CacheFolder(self.root, CacheParams(folder=str(self.root))),
            profiles,
            Timeouts(load_timeout_s=60),
            status=self.status,
            on_exit=fakes.exited.append,
        )


@pytest.fixture
async def made(tmp_path: Path, fakes: FakeEngines) -> AsyncIterator[Made]:
    made = Made(tmp_path, fakes, profile("kitchen"), profile("fatal", "die"))
    yield made
    await made.loader.close()


async def test_an_engine_gets_the_plan_the_queue_and_the_cache(
    made: Made, plan: LoadPlan, fakes: FakeEngines
) -> None:
    serving = await made.loader.load(plan)
    assert (serving.name, serving.info, serving.plan) == ("m.gguf", INFO, plan)
    command = (await fakes.notes(serving.engine))[0]
    assert command["model_path"] == str(plan.file.path)
    assert command["queue"]["max_queue"] == 7
    assert command["cache"]["folder"] == str(made.root)


async def test_a_profile_that_crashes_the_engine_is_skipped_at_the_next_attempt(
    made: Made, plan: LoadPlan, fakes: FakeEngines
) -> None:
    serving = await made.loader.load(plan)
    assert [(each.name, each.state) for each in serving.profiles] == [
        ("kitchen", "ready"),
        ("fatal", "failed"),
    ]
    assert made.loader.profile_states is serving.profiles
    assert made.status.restarts == 1
    assert made.status.last_failure == "exit status 9"
    assert len(fakes.exited) == 1


async def test_the_progress_of_a_load_is_that_of_its_engine(
    made: Made, plan: LoadPlan, fakes: FakeEngines
) -> None:
    fakes.block_loads()
    assert (made.loader.load_fraction, made.loader.last_event_s) == (None, None)
    loading = asyncio.create_task(made.loader.load(plan))
    await until(lambda: made.loader.load_fraction == 0.42)
    assert made.loader.last_event_s is not None
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert len(fakes.exited) == 1


async def test_a_refused_load_leaves_no_process(
    made: Made, plan: LoadPlan, fakes: FakeEngines
) -> None:
    fakes.refuses.touch()
    with pytest.raises(LoadParamsRefused):
        await made.loader.load(plan)
    (engine,) = fakes.exited
    assert not engine.is_alive
    assert made.status.restarts == 0


async def test_a_load_whose_engine_ends_names_the_model(
    made: Made, plan: LoadPlan, fakes: FakeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.block_loads()
    loading = asyncio.create_task(made.loader.load(plan))
    await until(lambda: made.loader.load_fraction not in (None, 0.0))
    for engine in made.loader._engines:
        engine.kill()
    with pytest.raises(ModelLoadFailed, match=r"^m\.gguf: the engine process exited during"):
        await loading


async def test_a_process_that_cannot_be_spawned_is_a_failed_load(
    made: Made, plan: LoadPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(loader_module, "SpawnedEngine", fail)
    with pytest.raises(ModelLoadFailed, match="the engine process could not be started"):
        await made.loader.load(plan)


async def test_new_parameters_count_from_the_next_load(
    made: Made, plan: LoadPlan, fakes: FakeEngines
) -> None:
    made.loader.reconfigure(QueueParams(max_queue=3), (), Timeouts(load_timeout_s=60))
    serving = await made.loader.load(plan)
    assert serving.profiles == []
    assert (await fakes.notes(serving.engine))[0]["queue"]["max_queue"] == 3


async def test_closing_shuts_every_engine_down_and_unlocks_the_cache(
    made: Made, plan: LoadPlan
) -> None:
    first, second = [await made.loader.load(plan) for _ in range(2)]
    await made.loader.close()
    assert not first.engine.is_alive
    assert not second.engine.is_alive
    FolderLock(made.root).release()
