"""Answers grow by what is sampled, what a grammar adds and what was drafted right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from app.engine.decode.logprobs import HeldLogprobs
from app.engine.decode.speculation import Speculator
from app.engine.scheduling.generation import MAX_AT_ONCE
from app.engine.scheduling.request import Request
from app.protocol import Chosen, Finished, TextDelta, TokenLogprobs
from tests.engine.fake_engine import Engine, FollowerGuidance, TroubledGuidance, endless, generate
from tests.engine.fake_llama import (
    END,
    FORGETFUL,
    N_VOCAB,
    followers,
    shown,
    solo,
    solo_followed,
)


def started(engine: Engine, n_steps: int = 1) -> Request:
    """Run steps and return the only running request."""
    for _ in range(n_steps):
        engine.loop.step()
    (request,) = engine.scheduler.running
    return request


def engine_with(prompt: list[int], max_tokens: int, seed: int, **options: object) -> Engine:
    engine = Engine([], **options)  # type: ignore[arg-type]
    engine.command_handler.handle(generate("a", prompt, max_tokens, seed=seed))
    return engine


def test_each_step_adds_the_token_that_was_sampled() -> None:
    prompt, seed = endless(10, 6)
    engine = engine_with(prompt, 6, seed)
    request = started(engine, 3)
    n_generated = request.n_generated
    assert request.tokens == prompt + solo(prompt, seed, n_generated)
    engine.loop.step()
    assert request.n_generated > n_generated
    assert request.n_past == len(request.tokens) - 1


def test_the_first_token_is_urgent_and_its_time_is_noted() -> None:
    prompt, seed = endless(3, 6)
    engine = engine_with(prompt, 6, seed, stream_interval_s=3600.0)
    request = started(engine, 2)
    assert request.clock.first_token_s > request.clock.started_s
    assert engine.outbox.is_due


@pytest.mark.parametrize("max_tokens", [1, 5])
def test_an_answer_ends_with_its_last_allowed_token(max_tokens: int) -> None:
    prompt, seed = endless(10, 6)
    engine = Engine([[generate("a", prompt, max_tokens, seed=seed)]]).run()
    (end,) = engine.finished("a")
    assert (end.reason, end.usage.completion_tokens) == ("length", max_tokens)


def test_an_end_token_ends_an_answer_and_is_counted() -> None:
    seed = next(s for s in range(200) if solo([1], s, 9)[-1] == END)
    engine = Engine([[generate("a", [1], 9, seed=seed)]]).run()
    (end,) = engine.finished("a")
    assert (end.reason, end.usage.completion_tokens) == ("stop", len(solo([1], seed, 9)))


def circles(n_answer: int) -> tuple[list[int], int]:
    """Return a prompt and a seed whose answer repeats itself."""
    prompt = [1, 2, 3]
    return prompt, next(
        seed for seed in range(FORGETFUL, 2000) if END not in solo(prompt, seed, n_answer)
    )


class WrongSpeculator(Speculator):
    """Drafts what never comes."""

    def draft(self, tokens: Sequence[int], n_others: int, most: int) -> list[int]:
        return [N_VOCAB + 1] * min(3, most)


def test_right_drafts_add_several_tokens_in_one_step() -> None:
    prompt, seed = circles(100)
    engine = engine_with(prompt, 100, seed)
    request = started(engine)
    n_added = []
    while engine.scheduler.running:
        before = request.n_generated
        engine.loop.step()
        n_added.append(request.n_generated - before)
    assert max(n_added) > 1
    assert request.tokens == prompt + solo(prompt, seed, 100)


def test_wrong_drafts_leave_the_kv_cache() -> None:
    prompt, seed = circles(100)
    engine = engine_with(prompt, 100, seed)
    request = started(engine, 5)
    request.speculator = WrongSpeculator(engine.generation.cost)
    engine.loop.step()
    assert request.slot is not None
    assert engine.cells.tokens(request.slot.seq_id) == request.tokens[:-1]
    assert request.draft == []
    engine.check()


@pytest.mark.parametrize("n_window", [4, 30])
def test_drafts_are_made_where_a_window_slides_too(n_window: int) -> None:
    prompt, seed = circles(100)
    command = generate("a", prompt, 100, seed=seed)
    engine = Engine([[command]], n_window=n_window).run()
    engine.assert_answered(command)
    assert engine.cells.n_steps < 100


def test_where_rejected_drafts_cannot_be_removed_the_answer_goes_on_without_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt, seed = circles(100)
    engine = engine_with(prompt, 100, seed, n_window=4)
    request = started(engine, 5)
    request.speculator = WrongSpeculator(engine.generation.cost)
    keep_prefix = engine.cells.keep_prefix
    with monkeypatch.context() as patch:
        patch.setattr(engine.cells, "drop_drafts", lambda seq_id, _: keep_prefix(seq_id, 0))
        engine.loop.step()
    assert request.n_past == 0
    (request,) = engine.scheduler.running
    assert request.speculator is None
    engine.check()
    while engine.scheduler.running:
        engine.loop.step()
    assert request.tokens == prompt + solo(prompt, seed, 100)


def test_a_step_that_ends_where_the_sequence_is_saved_has_no_drafts() -> None:
    prompt, seed = circles(60)
    engine = engine_with(prompt, 60, seed)
    request = started(engine, 5)
    request.speculator = WrongSpeculator(engine.generation.cost)
    request.checkpoints = {request.n_past + 1: False}
    engine.loop._batches.plan()
    assert request.draft == []
    request.checkpoints = {}
    engine.loop._batches.plan()
    assert request.draft


def test_a_step_with_drafts_is_one_physical_batch() -> None:
    prompt, seed = circles(60)
    engine = engine_with(prompt, 60, seed, n_ubatch=3)
    request = started(engine, 5)
    request.speculator = WrongSpeculator(engine.generation.cost)
    (work,) = engine.loop._batches.plan()
    assert work.n_tokens + len(request.draft) == 3


def test_where_memory_cannot_be_cut_nothing_is_drafted() -> None:
    prompt, seed = circles(60)
    request = started(engine_with(prompt, 60, seed, can_cut=False), 5)
    assert request.speculator is None


def test_forced_tokens_are_decoded_with_the_one_that_forced_them() -> None:
    prompt = [1, 2, 3]
    seed = next(s for s in range(200) if len(followers(solo(prompt, s, 1)[0])) >= 3)
    request = started(engine_with(prompt, 60, seed, planner=FollowerGuidance()), 2)
    chosen = solo(prompt, seed, 1)[0]
    assert request.tokens[3:][: 1 + len(followers(chosen))] == [chosen, *followers(chosen)]
    assert 1 <= request.n_last <= MAX_AT_ONCE


def test_a_grammar_that_fails_ends_the_answer_with_an_error() -> None:
    prompt, seed = endless(5, 9)
    command = generate("a", prompt, 9, seed=seed)
    engine = Engine([[command]], planner=TroubledGuidance(3)).run()
    (failed,) = engine.failed("a")
    assert failed.kind == "GrammarFailed"
    assert failed.message.endswith("too much")


def test_chosen_tokens_are_those_that_were_sampled_without_forced_ones() -> None:
    prompt, seed = [1, 2, 3], 5
    command = generate("a", prompt, 30, seed=seed, speculate=False)
    engine = Engine([[command]], planner=FollowerGuidance()).run()
    chosen = [token for e in engine.events if isinstance(e, Chosen) for token in e.tokens]
    whole = [each for token in chosen for each in (token, *followers(token))]
    assert whole[:30] == solo_followed(prompt, seed, 30)


def test_logprobs_are_of_the_logits_that_the_model_made() -> None:
    prompt, seed = endless(5, 4)
    engine = engine_with(prompt, 4, seed)
    (request,) = engine.scheduler.waiting
    assert request.answer is not None
    request.answer.logprobs = HeldLogprobs("a", 0, 2, lambda token: shown([token]).encode())
    while engine.scheduler.running or engine.scheduler.waiting:
        engine.loop.step()
    told = [token for e in engine.events if isinstance(e, TokenLogprobs) for token in e.tokens]
    assert "".join(token.piece.decode() for token in told) == engine.text("a")
    total = math.log(N_VOCAB - 1 + math.e)  # the fake's logits: 1 for the last token, else 0
    answer = solo(prompt, seed, 4)
    for token, before, after in zip(told, [prompt[-1], *answer], answer, strict=False):
        assert token.logprob == pytest.approx((before == after) - total, abs=1e-6)
        assert token.top[0].id == before
        assert len(token.top) == 2


def test_text_leaves_before_the_end_of_the_answer() -> None:
    prompt, seed = endless(5, 9)
    engine = Engine([[generate("a", prompt, 9, seed=seed)]]).run()
    kinds = [type(event) for event in engine.events if isinstance(event, (TextDelta, Finished))]
    assert kinds[-1] is Finished
    assert TextDelta in kinds[:-1]
