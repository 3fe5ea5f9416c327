"""An engine process from spawn to exit: loads, requests, hangs and crashes of a fake engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.errors import EngineDied, LoadParamsRefused, ModelLoadFailed, ServiceStopping
from app.host.process import engine_process
from app.host.process.engine_process import EngineProcess
from app.protocol import (
    Accepted,
    CacheParams,
    CacheReport,
    DescribeCache,
    Failed,
    Finished,
    Generate,
    Load,
    LoadParams,
    QueueParams,
    RequestEvent,
    Started,
    TextDelta,
)
from tests.host.engines import FakeEngines, generate, until
from tests.host.fake_engine import INFO, REFUSAL

LOAD = Load(model_path="m.gguf", params=LoadParams(), queue=QueueParams(), cache=CacheParams())


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngines:
    return FakeEngines(tmp_path, monkeypatch)


@pytest.fixture
async def engine(fakes: FakeEngines) -> AsyncIterator[EngineProcess]:
    made = fakes.spawn()
    await made.load(LOAD, timeout_s=60)
    yield made
    await made.close(grace_s=0.0)


async def events_of(engine: EngineProcess, command: Generate) -> list[RequestEvent]:
    async with aclosing(engine.request(command, command.request_id)) as batches:
        return [event async for batch in batches for event in batch]


# ---------------------------------------------------------------- loads


async def test_a_load_returns_what_the_engine_reports(engine: EngineProcess) -> None:
    assert engine.is_alive
    assert engine.load_fraction == 1.0
    assert engine.stats.cache is not None


async def test_the_info_is_that_of_the_model(fakes: FakeEngines) -> None:
    engine = fakes.spawn()
    assert not engine.is_alive
    assert await engine.load(LOAD, timeout_s=60) == INFO
    await engine.close()


async def test_a_refused_load_ends_the_process(fakes: FakeEngines) -> None:
    fakes.refuses.touch()
    engine = fakes.spawn()
    with pytest.raises(LoadParamsRefused, match=REFUSAL) as refused:
        await engine.load(LOAD, timeout_s=60)
    assert refused.value.param == "load_model_configs.chat_template"
    await engine.exited()
    assert fakes.exited == [engine]


async def test_a_load_that_takes_too_long_ends_the_process(fakes: FakeEngines) -> None:
    fakes.block_loads()
    engine = fakes.spawn()
    with pytest.raises(ModelLoadFailed, match=r"the model did not load within 0\.1 s"):
        await engine.load(LOAD, timeout_s=0.1)
    await engine.exited()
    assert not engine.is_alive


async def test_an_engine_that_exits_during_the_load_fails_it_with_the_reason(
    fakes: FakeEngines,
) -> None:
    fakes.block_loads()
    engine = fakes.spawn()
    loading = asyncio.create_task(engine.load(LOAD, timeout_s=60))
    await until(lambda: engine.load_fraction == 0.42)
    engine.kill()
    with pytest.raises(ModelLoadFailed, match="exited during the load: signal SIGKILL"):
        await loading


# ---------------------------------------------------------------- requests


async def test_a_request_yields_its_events_up_to_the_final_one(engine: EngineProcess) -> None:
    events = await events_of(engine, generate())
    assert [type(event) for event in events] == [Accepted, Started, TextDelta, Finished]
    assert engine.n_requests == 0


async def test_several_answers_end_with_the_last_of_them(engine: EngineProcess) -> None:
    events = await events_of(engine, generate(n=2))
    assert [event.choice for event in events if isinstance(event, Finished)] == [0, 1]


async def test_a_failed_request_ends_with_its_failure(engine: EngineProcess) -> None:
    (event,) = await events_of(engine, generate("refuse"))
    assert isinstance(event, Failed)


async def test_asking_returns_the_reply(engine: EngineProcess) -> None:
    assert isinstance(await engine.ask(DescribeCache(request_id="q"), "q"), CacheReport)


async def test_an_idle_request_yields_empty_batches(
    engine: EngineProcess, fakes: FakeEngines
) -> None:
    command = generate(f"wait {fakes.fifo}")
    batches = engine.request(command, "r", idle_s=0.01)
    async with aclosing(batches):
        while await anext(batches):
            pass
        await fakes.release()
        events = [event async for batch in batches for event in batch]
    assert isinstance(events[-1], Finished)


async def test_closing_a_request_early_cancels_it(
    engine: EngineProcess, fakes: FakeEngines
) -> None:
    async with aclosing(engine.request(generate(f"wait {fakes.fifo}"), "r")) as batches:
        await anext(batches)
    await fakes.release()
    assert engine.n_requests == 0
    assert [note["type"] for note in await fakes.notes(engine)][:3] == [
        "Load",
        "Generate",
        "Cancel",
    ]


async def test_draining_waits_for_the_requests_in_flight(
    engine: EngineProcess, fakes: FakeEngines
) -> None:
    asking = asyncio.create_task(events_of(engine, generate(f"wait {fakes.fifo}")))
    await until(lambda: engine.n_requests > 0)
    await engine.drained(timeout_s=0.0)
    assert engine.n_requests == 1
    await fakes.release()
    await engine.drained(timeout_s=None)
    await asking


async def test_a_stop_of_the_service_ends_requests_with_an_error(
    engine: EngineProcess, fakes: FakeEngines
) -> None:
    asking = asyncio.create_task(events_of(engine, generate(f"wait {fakes.fifo}")))
    await until(lambda: engine.n_requests > 0)
    engine.end_requests()
    with pytest.raises(ServiceStopping):
        await asking
    await fakes.release()


# ---------------------------------------------------------------- the end


async def test_a_crash_ends_the_request_and_is_logged_with_the_last_stderr_line(
    engine: EngineProcess, fakes: FakeEngines
) -> None:
    with capture_logs() as lines:
        with pytest.raises(EngineDied):
            await events_of(engine, generate("die"))
        await engine.exited()
    reason = "exit status 9; last stderr line: GGML_ASSERT(x) failed"
    assert engine.exit_reason == reason
    assert engine.n_aborted == 1
    assert fakes.exited == [engine]
    (line,) = [line for line in lines if line["event"] == "engine_exited"]
    assert (line["reason"], line["requests"], line["request_id"]) == (reason, 1, "r")


async def test_a_request_to_an_engine_that_has_exited_is_an_error(engine: EngineProcess) -> None:
    engine.kill()
    await engine.exited()
    with pytest.raises(EngineDied):
        await events_of(engine, generate())


async def test_closing_shuts_the_engine_down_in_silence(
    engine: EngineProcess, fakes: FakeEngines
) -> None:
    with capture_logs() as lines:
        await engine.close()
    assert engine.is_closing
    assert engine.exit_reason == "exit status 0"
    assert lines == []


async def test_an_engine_that_does_not_shut_down_in_time_is_killed(
    engine: EngineProcess, fakes: FakeEngines
) -> None:
    async with aclosing(engine.request(generate(f"wait {fakes.fifo}"), "r")) as batches:
        await anext(batches)
        await engine.close(grace_s=0.0)
    assert engine.exit_reason == "signal SIGKILL"


async def test_an_engine_that_never_loaded_is_killed_and_reaped(fakes: FakeEngines) -> None:
    engine = fakes.spawn()
    await engine.close()
    assert engine._process.returncode == -9


async def test_a_hung_engine_is_killed(fakes: FakeEngines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "_HANG_CHECK_INTERVAL_S", 0.01)
    engine = fakes.spawn(silence_s=0.05)
    await engine.load(LOAD, timeout_s=60)
    assert engine.stalled_s == 0.0
    with capture_logs() as lines, pytest.raises(EngineDied):
        await events_of(engine, generate(f"wait {fakes.fifo}"))
    assert "engine_hung" in [line["event"] for line in lines]
    await engine.exited()


async def test_an_engine_that_violates_the_protocol_is_killed(engine: EngineProcess) -> None:
    with capture_logs() as lines:
        engine.data_received(b"\xff" * 64)
        await engine.exited()
    assert lines[0]["event"] == "engine_protocol_error"
