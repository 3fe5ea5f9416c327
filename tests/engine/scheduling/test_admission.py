"""A request starts with what is known of its prompt, and its client is told once."""

from __future__ import annotations

import pytest

from app.base.json_types import as_json
from app.engine.scheduling.request import Request
from app.protocol import Generate, SamplingParams, Started
from tests.engine.fake_engine import Engine, endless, generate, prefill


def admitted(engine: Engine, *commands: Generate) -> list[Request]:
    for command in commands:
        engine.command_handler.handle(command)
    engine.loop._admission.admit()
    return engine.scheduler.running


def started(engine: Engine) -> list[Started]:
    return [event for event in engine.events if isinstance(event, Started)]


def test_a_request_starts_behind_its_known_prefix() -> None:
    engine = Engine([[generate("a", [1] * 40, 1)]], idle_bytes=1000).run()
    (request,) = admitted(engine, generate("b", [*[1] * 40, 2, 2]))
    assert request.n_past == request.n_cached == 40
    assert request.tier == "memory"
    assert request.slot is not None
    assert engine.cells.tokens(request.slot.seq_id) == request.tokens[:40]


def test_the_last_token_of_a_prompt_is_always_decoded() -> None:
    engine = Engine([[generate("a", [1] * 40, 1)]], idle_bytes=1000).run()
    (request,) = admitted(engine, generate("b", [1] * 40))
    assert request.n_past == 39


def test_the_client_is_told_once_for_all_answers() -> None:
    engine = Engine([])
    admitted(engine, generate("a", [1] * 9, n=3))
    for _ in range(20):
        engine.loop.step()
    assert [(e.request_id, e.prompt_tokens, e.cached_tokens) for e in started(engine)] == [
        ("a", 9, 0)
    ]


def test_a_request_that_was_held_back_is_not_announced_again() -> None:
    engine = Engine([])
    prompt, seed = endless(9, 20)
    commands = [generate(name, prompt, 20, seed=seed) for name in "ab"]
    admitted(engine, *commands)
    engine.loop.step()
    preempted = engine.scheduler.preempt()
    assert preempted is not None
    started_s = preempted.clock.started_s
    engine.loop._admission.admit()
    assert preempted in engine.scheduler.running
    assert preempted.clock.started_s == started_s
    assert sorted(event.request_id for event in started(engine)) == ["a", "b"]


def test_a_prompt_that_is_known_as_a_whole_needs_no_step() -> None:
    engine = Engine([[generate("a", [1] * 40, 1)]], idle_bytes=1000).run()
    engine.command_handler.handle(prefill("b", [1] * 40))
    engine.loop._admission.admit()
    assert engine.scheduler.is_idle
    (end,) = engine.finished("b")
    assert end.usage.cached_tokens == 40


@pytest.mark.parametrize(("can_cut", "window"), [(False, 0), (True, 8)])
def test_a_model_whose_states_cannot_be_cut_is_saved_where_its_instructions_end(
    can_cut: bool, window: int
) -> None:
    engine = Engine([], can_cut=can_cut, window=window)
    (request,) = admitted(engine, generate("a", [1] * 40))
    assert request.checkpoint == request.n_system == 20
    (other,) = admitted(Engine([]), generate("a", [1] * 40))
    assert other.checkpoint == 0


def test_a_request_for_an_explanation_gets_one_with_its_start() -> None:
    engine = Engine([[generate("a", [*[1] * 20, 2], 1)]], idle_bytes=1000).run()
    command = Generate(
        request_id="b",
        messages=as_json([{"content": [*[1] * 20, 3]}]),
        sampling=SamplingParams(),
        explain_cache=True,
    )
    admitted(engine, command)
    miss = started(engine)[-1].miss
    assert miss is not None
    assert (miss.index, miss.prompt) == (20, "d")
