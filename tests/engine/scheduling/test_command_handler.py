"""Each command becomes a queued request or gets its answer at once."""

from __future__ import annotations

import msgspec
import pytest

from app.base.json_types import as_json
from app.engine.kv.disk_tier import Disk
from app.errors import TemplateRefused
from app.protocol import (
    Accepted,
    CacheCleared,
    CacheReport,
    ClearCache,
    Command,
    DescribeCache,
    Detokenize,
    Event,
    Failed,
    Generate,
    KeepProfiles,
    Load,
    LoadParams,
    MemoryTrimmed,
    Render,
    SamplingParams,
    Text,
    TokenIds,
    Tokenize,
    TrimMemory,
)
from tests.engine.fake_disk import FakeStore, fake_disk
from tests.engine.fake_engine import Engine, FollowerGuidance, generate, prefill


def answered(command: Command, engine: Engine | None = None) -> Event:
    """Return the one event that answers a command."""
    engine = engine or Engine([])
    before = len(engine.events)
    engine.command_handler.handle(command)
    (event,) = engine.events[before:]
    return event


def disk() -> tuple[Disk, FakeStore]:
    return fake_disk()


def test_a_generation_is_accepted_and_queued_with_the_limits_it_asked_for() -> None:
    engine = Engine([], n_ctx=100)
    assert answered(generate("a", [1] * 40, 5), engine) == Accepted(request_id="a")
    assert answered(generate("b", [1] * 40, None), engine) == Accepted(request_id="b")
    assert answered(generate("c", [1] * 40, 1000), engine) == Accepted(request_id="c")
    waiting = {item.request_id: item for item in engine.scheduler.waiting}
    assert {name: item.max_new for name, item in waiting.items()} == {"a": 5, "b": 60, "c": 60}
    assert all(item.n_prompt == 40 for item in waiting.values())


def test_several_answers_share_a_prompt_and_draw_with_seeds_of_their_own() -> None:
    engine = Engine([])
    engine.command_handler.handle(generate("a", [1] * 9, seed=0x7FFFFFFF, n=3))
    requests = list(engine.scheduler.waiting)
    assert [item.choice for item in requests] == [0, 1, 2]
    assert [item.leader for item in requests] == [None, requests[0], requests[0]]
    assert [item.sampling.seed for item in requests] == [0x7FFFFFFF, 0, 1]


def test_answers_without_a_seed_stay_without_one() -> None:
    engine = Engine([])
    command = Generate(
        request_id="a", messages=as_json([{"content": [1]}]), sampling=SamplingParams(), n=2
    )
    engine.command_handler.handle(command)
    assert [item.sampling.seed for item in engine.scheduler.waiting] == [None, None]


def test_a_grammar_ends_the_answer_whatever_ignore_eos_says() -> None:
    engine = Engine([], planner=FollowerGuidance())
    sampling = SamplingParams(ignore_eos=True)
    command = Generate(request_id="a", messages=as_json([{"content": [1]}]), sampling=sampling)
    engine.command_handler.handle(command)
    (request,) = engine.scheduler.waiting
    assert not request.sampling.ignore_eos
    assert request.guide is not None


def test_a_prefill_generates_nothing_and_belongs_to_its_profile() -> None:
    engine = Engine([])
    engine.command_handler.handle(prefill("a", [1] * 9))
    (request,) = engine.scheduler.waiting
    assert (request.max_new, request.answer) == (0, None)


def test_a_refused_prompt_queues_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine([])

    def refuse(command: object) -> None:
        raise TemplateRefused("it wrote nothing", param="messages")

    monkeypatch.setattr(engine.prompts, "build", refuse)
    expected = Failed(
        request_id="a", kind="TemplateRefused", message="it wrote nothing", param="messages"
    )
    assert answered(generate("a", [1]), engine) == expected
    assert engine.scheduler.is_idle


def test_an_answer_that_goes_on_after_a_crash_is_taken_even_by_a_full_queue() -> None:
    engine = Engine([], parallel=1, max_queue=0)
    engine.command_handler.handle(generate("a", [1]))
    refused = answered(generate("b", [1]), engine)
    assert isinstance(refused, Failed)
    assert refused.kind == "QueueFull"
    resumed = Generate(
        request_id="c",
        messages=as_json([{"content": [1]}]),
        sampling=SamplingParams(),
        resumes=[[4, 5]],
    )
    assert answered(resumed, engine) == Accepted(request_id="c")
    assert list(engine.scheduler.waiting[-1].replay) == [4, 5]


def test_a_part_of_an_admitted_request_is_taken_even_by_a_full_queue() -> None:
    engine = Engine([], parallel=1, max_queue=0)
    engine.command_handler.handle(generate("a", [1]))
    part = msgspec.structs.replace(generate("b", [1]), is_admitted=True)
    assert answered(part, engine) == Accepted(request_id="b")


def test_texts_become_tokens_and_tokens_text() -> None:
    detokenize = Detokenize(request_id="d", tokens=[1, 2, 0])
    assert answered(detokenize) == Text(request_id="d", text="bc.")


@pytest.mark.parametrize(("with_pieces", "pieces"), [(False, None), (True, [b"b", b"c"])])
def test_pieces_of_tokens_come_on_request(
    monkeypatch: pytest.MonkeyPatch, with_pieces: bool, pieces: list[bytes] | None
) -> None:
    engine = Engine([])
    monkeypatch.setattr(
        engine.command_handler._model, "tokenize", lambda *_, **__: [1, 2], raising=False
    )
    command = Tokenize(request_id="t", text="bc", with_pieces=with_pieces)
    assert answered(command, engine) == TokenIds(request_id="t", tokens=[1, 2], pieces=pieces)


def test_an_id_outside_the_vocabulary_is_the_clients_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine([])

    def refuse(tokens: object) -> str:
        raise ValueError("99 is no token id")

    monkeypatch.setattr(engine.command_handler._model, "detokenize", refuse)
    failed = answered(Detokenize(request_id="d", tokens=[99]), engine)
    expected = Failed(
        request_id="d", kind="InvalidRequest", message="99 is no token id", param="tokens"
    )
    assert failed == expected


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_rendered_prompt_or_the_reason_why_not(
    monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    engine = Engine([])

    def render(command: object) -> str:
        if is_refused:
            raise TemplateRefused("line 1")
        return "prompt"

    monkeypatch.setattr(engine.prompts, "render", render, raising=False)
    event = answered(Render(request_id="r", messages=as_json([{"role": "user"}])), engine)
    kinds = (Failed, "TemplateRefused") if is_refused else (Text, "prompt")
    assert (type(event), getattr(event, "kind", getattr(event, "text", ""))) == kinds


def test_the_cache_is_described_cleared_and_trimmed() -> None:
    on_disk, store = disk()
    engine = Engine([[generate("a", [1] * 40, 1)], *([] for _ in range(30))], disk=on_disk).run()
    assert isinstance(answered(DescribeCache(request_id="d"), engine), CacheReport)
    trimmed = answered(TrimMemory(request_id="t"), engine)
    assert isinstance(trimmed, MemoryTrimmed)
    cleared = answered(ClearCache(request_id="c"), engine)
    assert isinstance(cleared, CacheCleared)
    assert cleared.entries >= 1
    assert not store.held()
    assert len(engine.prompts.turns) == 0


@pytest.mark.parametrize("command", [ClearCache(request_id="c"), TrimMemory(request_id="t")])
def test_what_is_known_of_prompts_is_forgotten_with_the_cache_and_where_memory_is_short(
    command: ClearCache | TrimMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, forgotten = Engine([]), []
    monkeypatch.setattr(engine.prompts, "forget", lambda: forgotten.append(command))
    answered(command, engine)
    assert forgotten == [command]


def test_profiles_that_are_kept_are_named_to_the_disk() -> None:
    on_disk, store = disk()
    engine = Engine([], disk=on_disk)
    engine.command_handler.handle(KeepProfiles(names=["support"]))
    assert store.profiles == {"support"}
    assert engine.events == []


def test_an_engine_loads_one_model_once() -> None:
    load = Load(model_path="/x", params=LoadParams(n_ctx=256))
    with pytest.raises(ValueError, match="one model, once"):
        Engine([]).command_handler.handle(load)


def test_heads_that_change_are_described_until_the_cache_is_cleared() -> None:
    prompts = [[2, 3, 4, number, *[5, 6, 7, 8] * 49] for number in range(6)]
    script = [[generate(f"r{at}", each, 1)] for at, each in enumerate(prompts)]
    engine = Engine(script, parallel=1).run()
    answered(TrimMemory(request_id="t"), engine)
    report = answered(DescribeCache(request_id="d"), engine)
    assert isinstance(report, CacheReport)
    assert report.changing_heads == engine.heads.found != []
    answered(ClearCache(request_id="c"), engine)
    assert engine.heads.found == []
