"""Which model serves, with real engines: first load, switch under tight memory, roll back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import (
    EngineUnavailable,
    LoadParamsRefused,
    ModelLoadFailed,
    ModelTooLarge,
    NoModelLoaded,
    QueueFull,
    ServiceStopping,
)
from app.host import memory_estimate
from app.host.load_plan import LoadPlan, plan_load
from app.host.process import spawn
from app.host.process.spawn import SpawnedEngine
from app.host.serving import Serving
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.protocol import LoadParams, QueueParams
from tests.host.fake_engine import REFUSAL
from tests.host.supervisors import supervisor_of
from tests.live.server import MODELS, NANO
from tests.models.gguf_files import write_llama

pytestmark = pytest.mark.slow  # each test starts engines
DEFAULTS = LoadParams(n_ctx=512, n_threads=1)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name in ("first.gguf", "second.gguf"):
        shutil.copy(MODELS / NANO, tmp_path / name)
    whole = (MODELS / NANO).read_bytes()
    lacking = whole.replace(b"output_norm.weight", b"output_no_m.weight")
    (tmp_path / "lacking.gguf").write_bytes(lacking)
    (tmp_path / "truncated.gguf").write_bytes(whole[:200_000])
    (tmp_path / "junk.gguf").write_bytes(b"junk")
    return Catalog(tmp_path)


@pytest.fixture
async def supervisor(catalog: Catalog) -> AsyncIterator[Supervisor]:
    made = supervisor_of(catalog, DEFAULTS)
    yield made
    await made.stop()


class FakeEngines:
    """What fake engines do: load everything, or refuse everything over its chat template."""

    def __init__(self, sign: Path) -> None:
        self._sign = sign

    def refuse(self) -> None:
        self._sign.touch()

    def accept(self) -> None:
        self._sign.unlink()


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngines:
    monkeypatch.setattr(spawn, "_ENGINE_MODULE", "tests.host.fake_engine")
    monkeypatch.setenv("FAKE_ENGINE_REFUSES", str(tmp_path / "refuses"))
    return FakeEngines(tmp_path / "refuses")


@pytest.fixture
async def no_room_for_two(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = await plan_load(catalog, catalog.find("first.gguf"), DEFAULTS, {})
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda: plan.needed_bytes)


async def test_a_named_model_is_loaded_and_then_serves_unnamed_requests(
    supervisor: Supervisor,
) -> None:
    assert (await supervisor.use("first.gguf", {})).name == "first.gguf"
    assert (await supervisor.use(None, {})).name == "first.gguf"
    assert supervisor.status.name == "ok"


async def test_load_parameters_count_only_when_a_load_happens(supervisor: Supervisor) -> None:
    first = await supervisor.use("first.gguf", {"n_ctx": 256})
    assert first.info.n_ctx == 256
    again = await supervisor.use("first.gguf", {"n_ctx": 512})
    assert again.engine is first.engine


async def test_where_two_models_do_not_fit_the_former_stops_first(
    supervisor: Supervisor, catalog: Catalog, no_room_for_two: None
) -> None:
    first = await supervisor.use("first.gguf", {})
    second = await supervisor.switch(catalog.find("second.gguf"), {})
    assert second.name == "second.gguf"
    assert not first.engine.is_alive


@pytest.mark.parametrize("name", ["lacking.gguf", "truncated.gguf", "junk.gguf"])
async def test_a_model_that_does_not_load_leaves_the_former_one_serving(
    supervisor: Supervisor, catalog: Catalog, name: str
) -> None:
    first = await supervisor.use("first.gguf", {})
    with pytest.raises(ModelLoadFailed, match=name):
        await supervisor.switch(catalog.find(name), {})
    assert await supervisor.use(None, {}) is first
    assert first.engine.is_alive


async def test_a_model_that_had_to_stop_is_brought_back_when_the_next_does_not_load(
    supervisor: Supervisor, catalog: Catalog, no_room_for_two: None
) -> None:
    first = await supervisor.use("first.gguf", {})
    with pytest.raises(ModelLoadFailed, match=r"first\.gguf was loaded again"):
        await supervisor.switch(catalog.find("lacking.gguf"), {})
    again = await supervisor.use(None, {})
    assert again.name == "first.gguf"
    assert again.engine is not first.engine
    assert supervisor.status.name == "ok"


async def test_a_model_that_does_not_fit_at_all_stops_nothing(
    supervisor: Supervisor, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await supervisor.use("first.gguf", {})
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda: -first.plan.needed_bytes)
    with pytest.raises(ModelTooLarge, match="second"):
        await supervisor.switch(catalog.find("second.gguf"), {})
    assert await supervisor.use(None, {}) is first
    assert first.engine.is_alive


async def test_a_failed_load_says_what_llama_cpp_said(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    with pytest.raises(ModelLoadFailed) as failed:
        await supervisor.switch(catalog.find("lacking.gguf"), {})
    assert "could not load 'lacking.gguf': " in failed.value.message


async def test_an_engine_started_early_ends_when_its_model_is_unreadable(
    supervisor: Supervisor,
) -> None:
    spawned = SpawnedEngine()
    supervisor.start("junk.gguf", spawned)
    await supervisor.settled()
    assert spawned.process.poll() is not None
    with pytest.raises(NoModelLoaded, match="junk"):
        await supervisor.use(None, {})


async def test_requests_are_refused_while_the_first_model_is_being_loaded(
    supervisor: Supervisor,
) -> None:
    supervisor.start("first.gguf")
    with pytest.raises(EngineUnavailable):
        await supervisor.use("first.gguf", {})
    await supervisor.settled()
    assert (await supervisor.use("first.gguf", {})).name == "first.gguf"


async def test_a_dead_engine_is_replaced(supervisor: Supervisor) -> None:
    first = await supervisor.use("first.gguf", {})
    first.engine.kill()
    await first.engine.exited()
    await supervisor.settled()
    second = await supervisor.use(None, {})
    assert second.engine is not first.engine
    assert supervisor.status.restarts == 1
    assert "SIGKILL" in (supervisor.status.last_failure or "")


async def test_a_request_waits_for_the_engine_that_is_being_restarted(
    supervisor: Supervisor,
) -> None:
    first = await supervisor.use("first.gguf", {})
    first.engine.kill()
    await first.engine.exited()
    with pytest.raises(EngineUnavailable):
        raise supervisor.status.refusal()
    second = await supervisor.use(None, {})
    assert second.engine.pid != first.engine.pid


async def test_no_more_requests_wait_for_a_restart_than_a_queue_holds(
    catalog: Catalog, supervisor: Supervisor
) -> None:
    supervisor.reconfigure(
        DEFAULTS,
        QueueParams(max_queue=1),
        (),
        timeouts=Timeouts(load_timeout_s=60, engine_timeout_s=60, drain_timeout_s=5),
    )
    first = await supervisor.use("first.gguf", {})
    first.engine.kill()
    await first.engine.exited()
    waiting = asyncio.create_task(supervisor.use(None, {}))
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await supervisor.use(None, {})
    assert (await waiting).name == "first.gguf"


async def test_nobody_waits_for_a_model_that_does_not_come_back(
    catalog: Catalog, supervisor: Supervisor
) -> None:
    first = await supervisor.use("first.gguf", {})
    (catalog.models_dir / "first.gguf").write_bytes(b"junk")
    first.engine.kill()
    await first.engine.exited()
    for _ in range(2):
        with pytest.raises(EngineUnavailable):
            await supervisor.use(None, {})


async def test_another_model_waits_until_the_one_that_died_is_back(
    catalog: Catalog, supervisor: Supervisor
) -> None:
    serving = await supervisor.use("first.gguf", {})
    for _ in range(2):  # the second time there is a pause before the restart
        serving.engine.kill()
        await serving.engine.exited()
        switching = asyncio.create_task(supervisor.switch(catalog.find("second.gguf"), {}))
        serving = await supervisor.use(None, {})
        assert serving.name == "first.gguf"
        assert (await switching).name == "second.gguf"
        serving = await supervisor.switch(catalog.find("first.gguf"), {})


async def test_nothing_is_taken_on_once_the_service_stops(supervisor: Supervisor) -> None:
    await supervisor.use("first.gguf", {})
    supervisor.begin_stop()
    with pytest.raises(ServiceStopping):
        await supervisor.use("first.gguf", {})


async def test_a_load_that_is_done_while_the_service_stops_serves_nobody(
    supervisor: Supervisor,
) -> None:
    supervisor.start("first.gguf")
    supervisor.begin_stop()
    await supervisor.settled()
    assert supervisor.serving is None
    assert supervisor.status.name == "stopping"


async def test_what_waits_for_a_switch_is_told_when_the_service_stops(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    switching = asyncio.create_task(supervisor.switch(catalog.find("second.gguf"), {}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    supervisor.end_requests()
    with pytest.raises(ServiceStopping):
        await switching


async def test_a_file_that_is_no_model_is_refused_with_what_it_is(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    write_llama(catalog.models_dir / "lora.gguf", general__type="adapter")
    first = await supervisor.use("first.gguf", {})
    with pytest.raises(ModelLoadFailed, match=r"lora\.gguf is a LoRA adapter"):
        await supervisor.use("lora", {})
    assert await supervisor.use(None, {}) is first


# ---------------------------------------------------------------- loads that fail in any way


async def test_an_engine_whose_template_is_refused_at_the_restart_comes_back_later(
    supervisor: Supervisor, fakes: FakeEngines
) -> None:
    first = await supervisor.use("first.gguf", {})
    fakes.refuse()
    first.engine.kill()
    await first.engine.exited()
    while supervisor.status.last_failure != REFUSAL:
        await supervisor.status.changed()
    assert supervisor.status.name == "restarting"
    fakes.accept()
    assert (await supervisor.use(None, {})).name == "first.gguf"


async def test_a_former_model_that_does_not_come_back_is_an_error_with_its_reason(
    supervisor: Supervisor, catalog: Catalog, fakes: FakeEngines, no_room_for_two: None
) -> None:
    await supervisor.use("first.gguf", {})
    fakes.refuse()
    with pytest.raises(LoadParamsRefused, match=r"first\.gguf could not be loaded again"):
        await supervisor.switch(catalog.find("second.gguf"), {})
    assert (supervisor.status.name, supervisor.status.message) == ("error", REFUSAL)
    assert not supervisor.is_busy


async def test_a_defect_in_a_switch_brings_the_former_model_back(
    supervisor: Supervisor,
    catalog: Catalog,
    fakes: FakeEngines,
    no_room_for_two: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await supervisor.use("first.gguf", {})
    load = supervisor._loader.load

    async def load_no_second(plan: LoadPlan, spawned: SpawnedEngine | None = None) -> Serving:
        if plan.file.name == "second.gguf":
            raise RuntimeError("a defect")
        return await load(plan, spawned)

    monkeypatch.setattr(supervisor._loader, "load", load_no_second)
    with pytest.raises(RuntimeError, match="a defect"):
        await supervisor.switch(catalog.find("second.gguf"), {})
    again = await supervisor.use(None, {})
    assert again.name == "first.gguf"
    assert again is not first


@pytest.mark.parametrize("step", ["plan_load", "Loader.load"])
async def test_a_defect_in_the_first_load_is_an_error_with_its_reason(
    supervisor: Supervisor, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(f"app.host.supervisor.{step}", fail)
    supervisor.start("first.gguf")
    await supervisor.initial_load_done()
    await supervisor.settled()
    assert supervisor.status.name == "error"
    assert supervisor.status.message == "RuntimeError: a defect"
    with pytest.raises(NoModelLoaded, match="a defect"):
        await supervisor.use(None, {})


async def test_a_model_whose_engine_ends_right_after_loading_is_an_error(
    supervisor: Supervisor,
    catalog: Catalog,
    fakes: FakeEngines,
    no_room_for_two: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await supervisor.use("first.gguf", {})
    load = supervisor._loader.load

    async def load_and_die(plan: LoadPlan, spawned: SpawnedEngine | None = None) -> Serving:
        serving = await load(plan, spawned)
        serving.engine.kill()
        await serving.engine.exited()
        return serving

    monkeypatch.setattr(supervisor._loader, "load", load_and_die)
    with pytest.raises(ModelLoadFailed, match="exited right after the load"):
        await supervisor.switch(catalog.find("second.gguf"), {})
    assert supervisor.status.name == "error"
