"""The start serves the newest model that can be loaded, and tells of those that could not."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.host.process.spawn import SpawnedEngine
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.protocol import LoadParams, QueueParams
from tests.host.supervisors import supervisor_of
from tests.live.server import MODELS, NANO
from tests.models.gguf_files import write_llama
from tests.models.gguf_rewrite import Gguf

pytestmark = pytest.mark.slow  # each test starts engines


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name in ("first.gguf", "second.gguf"):
        shutil.copy(MODELS / NANO, tmp_path / name)
    nano = Gguf.read(MODELS / NANO)
    nano.without_tensor("output_norm.weight").write(tmp_path / "lacking.gguf")
    nano.with_values({"qwen3.block_count": 0}).write(tmp_path / "deadly.gguf")
    write_llama(tmp_path / "lora.gguf", general__type="adapter")
    (tmp_path / "junk.gguf").write_bytes(b"junk")
    return Catalog(tmp_path)


@pytest.fixture
async def supervisor(catalog: Catalog) -> AsyncIterator[Supervisor]:
    made = supervisor_of(catalog, LoadParams(n_ctx=512, n_threads=1))
    yield made
    await made.stop()


def ages(catalog: Catalog, *names: str) -> None:
    """Make these files the newest, the first of them most of all, and remove all others."""
    for path in catalog.models_dir.glob("*.gguf"):
        if path.name not in names:
            path.unlink()
    for age_s, name in enumerate(names):
        os.utime(catalog.models_dir / name, (1_700_000_000 - age_s,) * 2)


async def test_the_start_passes_over_files_that_are_no_models_and_models_that_do_not_load(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    ages(catalog, "lora.gguf", "junk.gguf", "lacking.gguf", "second.gguf", "first.gguf")
    spawned = SpawnedEngine()
    with capture_logs() as lines:
        supervisor.start(None, spawned)
        await supervisor.initial_load_done()
    assert supervisor.serving is not None
    assert supervisor.serving.name == "second.gguf"
    assert supervisor.status.name == "ok"
    (warning,) = supervisor.status.warnings()
    assert warning.startswith("lacking.gguf was to serve but did not load: llama.cpp could not")
    skipped = [line["model"] for line in lines if line["event"] == "model_skipped"]
    failed = [line["model"] for line in lines if line["event"] == "model_load_failed"]
    assert (skipped, failed) == (["lora.gguf", "junk.gguf"], ["lacking.gguf"])
    assert spawned.process.poll() is not None  # it was to load the first of them


async def test_a_start_without_any_model_that_loads_is_an_error_with_the_reasons(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    ages(catalog, "lora.gguf", "lacking.gguf", "junk.gguf")
    spawned = SpawnedEngine()
    supervisor.start(None, spawned)
    await supervisor.initial_load_done()
    assert supervisor.status.name == "error"
    lacking, lora, junk = supervisor.status.message.split("; ")
    assert "'lacking.gguf'" in lacking
    assert lora.startswith("lora.gguf is a LoRA adapter")
    assert junk.startswith("junk.gguf is not a valid GGUF file")
    assert not list(supervisor.status.warnings())
    assert spawned.process.poll() is not None


async def test_an_engine_that_ends_over_a_file_leaves_the_start_to_the_next(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    ages(catalog, "deadly.gguf", "first.gguf")
    supervisor.start(None)
    await supervisor.initial_load_done()
    assert supervisor.serving is not None
    assert supervisor.serving.name == "first.gguf"
    (warning,) = supervisor.status.warnings()
    assert "the engine process exited during the load: signal SIGABRT" in warning
    assert "GGML_ASSERT(" in warning


async def test_a_model_that_is_too_large_leaves_the_start_to_the_next(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    ages(catalog, "second.gguf", "first.gguf")
    huge = catalog.models_dir / "second.gguf"
    os.truncate(huge, 1 << 43)  # sparse
    os.utime(huge, (1_800_000_000, 1_800_000_000))
    spawned = SpawnedEngine()
    supervisor.start(None, spawned)
    await supervisor.initial_load_done()
    assert supervisor.serving is not None
    assert supervisor.serving.name == "first.gguf"
    assert supervisor.serving.engine.pid == spawned.process.pid
    (warning,) = supervisor.status.warnings()
    assert "second.gguf does not fit" in warning


@pytest.mark.parametrize("name", ["lacking.gguf", "lora.gguf"])
async def test_a_configured_model_that_does_not_load_is_an_error_beside_good_ones(
    supervisor: Supervisor, name: str
) -> None:
    supervisor.start(name)
    await supervisor.initial_load_done()
    assert supervisor.status.name == "error"
    assert name in supervisor.status.message


async def test_a_setting_that_no_model_loads_with_is_named_at_once(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    ages(catalog, "second.gguf", "first.gguf")
    params = LoadParams(n_ctx=512, n_threads=1, chat_template="{% if %}")
    supervisor.reconfigure(params, QueueParams(), (), Timeouts())
    with capture_logs() as lines:
        supervisor.start(None)
        await supervisor.initial_load_done()
    assert supervisor.status.name == "error"
    assert "template" in supervisor.status.message
    assert len([line for line in lines if line["event"] == "model_load_failed"]) == 1


async def test_a_model_that_loads_later_is_no_longer_warned_of(
    supervisor: Supervisor, catalog: Catalog
) -> None:
    ages(catalog, "lacking.gguf", "first.gguf")
    supervisor.start(None)
    await supervisor.initial_load_done()
    assert list(supervisor.status.warnings())
    shutil.copy(catalog.models_dir / "first.gguf", catalog.models_dir / "lacking.gguf")
    await supervisor.switch(catalog.find("lacking.gguf"), {})
    assert not list(supervisor.status.warnings())
