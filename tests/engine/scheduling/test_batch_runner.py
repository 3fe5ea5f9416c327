"""A batch that does not fit makes room, drops drafts, then holds requests back."""

from __future__ import annotations

import pytest

from app.engine.kv.sequences import Slot
from app.engine.scheduling.batch_runner import BatchRunner
from app.engine.scheduling.scheduler import Work
from app.protocol import Cancel, Command, PromptProgress
from tests.engine.fake_engine import Engine, endless, generate, prefill
from tests.engine.fake_llama import FORGETFUL, KINDS


def runner_of(engine: Engine) -> BatchRunner:
    return engine.loop._batches


def admitted(engine: Engine, *commands: Command) -> BatchRunner:
    for command in commands:
        engine.command_handler.handle(command)
    engine.loop._admission.admit()
    return runner_of(engine)


def sizes(work: list[Work]) -> dict[str, tuple[int, bool]]:
    return {item.request.request_id: (item.n_tokens, item.is_prefill) for item in work}


def test_a_plan_has_the_prompts_and_the_last_tokens_of_answers() -> None:
    engine = Engine([])
    prompt, seed = endless(9, 20)
    batches = admitted(engine, generate("a", prompt, 20, seed=seed))
    assert sizes(batches.plan()) == {"a": (8, True)}
    engine.loop.step()
    engine.loop.step()
    engine.command_handler.handle(generate("b", [2] * 9))
    engine.loop._admission.admit()
    assert sizes(batches.plan()) == {"a": (1, False), "b": (8, True)}


def test_what_was_decoded_is_recorded_and_sampled() -> None:
    engine = Engine([])
    prompt, seed = endless(9, 20)
    batches = admitted(engine, generate("a", prompt, 20, seed=seed))
    for n_generated in (0, 1, 2):
        batches.take_in(batches.decode(batches.plan()), began_s=0.0)
        (request,) = engine.scheduler.running
        assert request.n_generated == n_generated
        engine.check()


def test_an_idle_sequence_moves_out_before_anyone_is_held_back() -> None:
    engine = Engine([[generate("a", [1] * 60, 1)]], n_ctx=100, idle_bytes=0).run()
    batches = admitted(engine, generate("b", [2] * 60))
    work = batches.decode(batches.plan())
    assert [item.request.request_id for item in work] == ["b"]
    assert not engine.failed("b")


def test_drafts_are_dropped_before_anyone_is_held_back() -> None:
    prompt, seed = endless(3, 20)
    engine = Engine([], n_ctx=40)
    batches = admitted(engine, generate("a", prompt, 20, seed=seed))
    for _ in range(3):
        engine.loop.step()
    (request,) = engine.scheduler.running
    request.draft = [1] * 39
    work = batches.decode([Work(request, 1)])
    assert [item.request for item in work] == [request]
    assert request.draft == []


def test_the_youngest_is_held_back_where_the_cache_is_full() -> None:
    older, younger = endless(30, 40), endless(30, 40, start=2)
    engine = Engine([], n_ctx=70)
    batches = admitted(engine, generate("old", older[0], 9, seed=older[1]))
    engine.loop.step()
    engine.scheduler._n_ctx = 1000  # as after answers that grew
    batches = admitted(engine, generate("young", younger[0], 9, seed=younger[1]))
    engine.cells.n_cells = 40
    work = batches.decode(batches.plan())
    assert [item.request.request_id for item in work] == ["old"]
    assert [item.request_id for item in engine.scheduler.waiting] == ["young"]


def test_a_lone_request_that_does_not_fit_fails() -> None:
    engine = Engine([])
    batches = admitted(engine, generate("a", [1] * 30))
    engine.cells.n_cells = 10
    assert batches.decode(batches.plan()) == []
    (failed,) = engine.failed("a")
    assert (failed.kind, failed.message) == ("EnvironmentFailure", "the KV cache is full")


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_cancelled_prefill_is_aborted_where_that_can_be_undone(can_cut: bool) -> None:
    engine = Engine([[Cancel(request_id="a")]], n_batch=256, can_cut=can_cut)
    batches = admitted(engine, generate("a", [1] * 300))
    work = batches.decode(batches.plan())
    assert bool(work) != can_cut
    batches.take_in(work, began_s=0.0)
    engine.check()


@pytest.mark.parametrize("n_window", [0, 8])
def test_an_aborted_step_keeps_the_whole_physical_batches_of_prompts(n_window: int) -> None:
    engine = Engine([], n_batch=256, n_ubatch=32, n_window=n_window)
    prompt, seed = endless(40, 30)
    batches = admitted(engine, generate("answers", prompt, 30, seed=seed))
    for _ in range(4):
        engine.loop.step()
    (answering,) = engine.scheduler.running
    n_past, n_generated = answering.n_past, answering.n_generated
    engine._script = [[Cancel(request_id="a")]]
    admitted(engine, generate("a", [1] * 300))
    cancelled = engine.scheduler.running[-1]
    n_cached = cancelled.n_past
    assert [item.request for item in batches.plan()] == [cancelled, answering]
    batches._throughput.prefill_tokens_per_s = 10.0  # a step that is worth watching
    work = [Work(cancelled, 100, is_prefill=True), Work(answering, 1)]
    assert batches.decode(work) == []
    assert cancelled.n_past == n_cached + 96
    assert (answering.n_past, answering.n_generated) == (n_past, n_generated)
    engine.check()


def watch_saves(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Check the books of all sequences wherever one is saved; return what is at checkpoints."""
    saved: list[int] = []
    save_now = engine.kv_cache.save_now

    def checked(slot: Slot, *, to_disk: bool) -> None:
        engine.check()
        saved.append(len(slot.tokens))
        save_now(slot, to_disk=to_disk)

    monkeypatch.setattr(engine.kv_cache, "save_now", checked)
    return saved


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_saved_once_all_of_the_step_is_recorded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine([], n_batch=256, **KINDS[kind])
    saved = watch_saves(engine, monkeypatch)
    batches = admitted(engine, generate("a", [1] * 80), generate("b", [2] * 90))
    first, second = engine.scheduler.running
    first.checkpoints, second.checkpoints = {40: False}, {50: True}
    work = [Work(first, 40, is_prefill=True), Work(second, 50, is_prefill=True)]
    batches.take_in(batches.decode(work), began_s=0.0)
    assert saved == [40, 50]
    assert first.checkpoints == second.checkpoints == {}


@pytest.mark.parametrize("n_window", [0, 8])
def test_a_checkpoint_in_an_aborted_step_is_saved_once_all_is_rolled_back(
    n_window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine([], n_batch=256, n_ubatch=32, n_window=n_window)
    saved = watch_saves(engine, monkeypatch)
    batches = admitted(engine, generate("a", [1] * 300), generate("b", [2] * 300))
    batches._throughput.prefill_tokens_per_s = 10.0  # a step that is worth watching
    first, second = engine.scheduler.running
    first.checkpoints, second.checkpoints = {96: False}, {100: False}
    engine._script = [[Cancel(request_id="a")]]
    work = [Work(first, 96, is_prefill=True), Work(second, 100, is_prefill=True)]
    assert batches.decode(work) == []
    assert saved == [96]
    assert (first.n_past, second.n_past) == (96, 96)
    assert second.checkpoints == {100: False}


def test_progress_is_posted_for_prompts_whose_clients_ask() -> None:
    engine = Engine([], n_batch=16)
    batches = admitted(engine, prefill("a", [1] * 40))
    (request,) = engine.scheduler.running
    request.report_progress = True
    batches.take_in(batches.decode(batches.plan()), began_s=0.0)
    (progress,) = [event for event in engine.events if isinstance(event, PromptProgress)]
    assert (progress.processed, progress.total) == (request.n_past, 40)


def test_a_step_with_prefill_is_urgent_and_has_no_drafts() -> None:
    engine = Engine([], stream_interval_s=3600.0)
    batches = admitted(engine, generate("a", [1, 2] * 10, seed=FORGETFUL))
    engine.outbox.flush()
    work = batches.decode(batches.plan())
    assert all(not item.request.draft for item in work)
    batches.take_in(work, began_s=0.0)
    assert engine.outbox.is_due
