"""A request starts with what is known of its prompt, and its client is told once."""

from __future__ import annotations

import pytest

from app.base.json_types import as_json
from app.engine.kv.save_policy import SavePolicy
from app.engine.scheduling.request import Request
from app.protocol import (
    CacheMark,
    CacheMatch,
    Command,
    Generate,
    LogLine,
    Prefill,
    RawPrompt,
    SamplingParams,
    Started,
)
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


@pytest.mark.parametrize(("can_cut", "n_window"), [(False, 0), (True, 8)])
def test_a_model_whose_states_cannot_be_cut_is_saved_where_its_instructions_end(
    can_cut: bool, n_window: int
) -> None:
    engine = Engine([], can_cut=can_cut, n_window=n_window)
    (request,) = admitted(engine, generate("a", [1] * 40))
    assert request.n_system == 20
    assert request.checkpoints == {20: False, 39: False}, "and where the prompt ends"
    (other,) = admitted(Engine([]), generate("a", [1] * 40))
    assert not other.checkpoints


BOOK = [1] * 60


def kept_of(first: list[int], later: list[int], *, can_cut: bool) -> set[int]:
    """Return the lengths of a later prompt that the disk gets; both have a mark after the book."""
    marks = [CacheMark(messages=len(BOOK))]
    script = [[generate("a", first, 1, cache_marks=marks)]]
    engine = Engine(script, idle_bytes=1_000_000, can_cut=can_cut).run()
    noted: set[int] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SavePolicy, "note_boundaries", lambda _self, _, places: noted.update(places))
        (request,) = admitted(engine, generate("b", later, cache_marks=marks))
    assert request.n_cached >= len(BOOK)
    assert request.usage().marked_tokens == len(BOOK)
    return noted - {request.n_system}


@pytest.mark.parametrize("can_cut", [True, False])
def test_the_disk_gets_a_mark_behind_which_another_conversation_begins(can_cut: bool) -> None:
    assert kept_of([*BOOK, *[2] * 40], [*BOOK, *[3] * 40], can_cut=can_cut) == {len(BOOK)}


@pytest.mark.parametrize("can_cut", [True, False])
def test_the_disk_does_not_get_a_mark_that_a_conversation_left_behind(can_cut: bool) -> None:
    first = [*BOOK, *[2] * 40]
    assert not kept_of(first, [*first, *[3] * 40], can_cut=can_cut)


def test_a_model_whose_states_cannot_be_cut_is_saved_at_marks() -> None:
    marks = [CacheMark(messages=30)]
    engine = Engine([], can_cut=False)
    (request,) = admitted(engine, generate("a", [1] * 40, cache_marks=marks))
    assert list(request.checkpoints) == [20, 30]


def test_a_request_for_an_explanation_gets_one_with_its_start() -> None:
    engine = Engine([[generate("a", [*[1] * 20, 2], 1)]], idle_bytes=1000).run()
    command = Generate(
        request_id="b",
        messages=as_json([{"content": [*[1] * 20, 3]}]),
        sampling=SamplingParams(),
        explain_cache=True,
    )
    admitted(engine, command)
    found = started(engine)[-1]
    assert found.miss is not None
    assert (found.miss.index, found.miss.prompt) == (20, "d")
    assert found.match == CacheMatch(tokens=20)
    assert started(engine)[0].match is None, "it did not ask"


def changing(n_prompts: int) -> list[list[int]]:
    """Return prompts of 100 tokens of instructions, of which the fourth changes."""
    return [[2, 3, 4, number, *[5, 6, 7, 8] * 49] for number in range(n_prompts)]


def one_by_one(*commands: Command) -> Engine:
    """Return an engine that has answered each command before the next one came."""
    return Engine([each for command in commands for each in ([command], *[[]] * 20)]).run()


def test_instructions_that_change_with_each_request_are_noticed() -> None:
    engine = one_by_one(*(generate(f"r{at}", each, 1) for at, each in enumerate(changing(6))))
    (found,) = engine.heads.found
    assert (found.head_tokens, found.tokens, found.kind, found.changes) == (100, 196, "text", 5)
    lines = [event for event in engine.events if isinstance(event, LogLine)]
    assert [(line.text, line.request_ids) for line in lines] == [(found.message, ["r5"])]


def test_a_prompt_is_compared_once_however_many_answers_it_has() -> None:
    prompts = enumerate(changing(5))
    engine = one_by_one(*(generate(f"r{at}", each, 1, n=3) for at, each in prompts))
    assert engine.heads.found == []


def test_raw_prompts_and_profiles_are_not_compared() -> None:
    raw = [
        Generate(
            request_id=f"r{at}",
            messages=b"[]",
            prompt=RawPrompt(tokens=each),
            sampling=SamplingParams(),
            max_tokens=1,
        )
        for at, each in enumerate(changing(6))
    ]
    profiles = [
        Prefill(request_id=f"p{at}", messages=as_json([{"content": each}]), profile=f"{at}")
        for at, each in enumerate(changing(6))
    ]
    assert one_by_one(*raw, *profiles).heads.n_bytes == 0
