"""Rejected drafts and aborted steps change nothing, for every architecture that undoes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from app.engine.assembly import build_loop, undo
from app.engine.decode.speculation import MAX_DRAFT_TOKENS, Speculator
from app.engine.ipc.channel import Channel
from app.engine.llama import DECODE_ABORTED, DECODE_OK, BatchPart, Context, Model, route_logs
from app.engine.prompt.builder import PromptBuilder
from app.protocol import (
    Command,
    Event,
    Failed,
    Generate,
    Load,
    LoadParams,
    RawPrompt,
    SamplingParams,
    Shutdown,
    TokensGenerated,
)
from scripts.benchmark.architectures import ARCHITECTURES
from scripts.benchmark.gguf_writer import F32
from scripts.benchmark.random_model import shape

WINDOW = 64
UBATCH = 32
N_ANSWER = 160
DRAFTS = {"qwen3", "gemma3"}
ABORTS = {"qwen3", "gemma3"}
PARAMS = LoadParams(
    n_ctx=1024,
    n_threads=1,
    n_batch=256,
    n_ubatch=UBATCH,
    flash_attn=False,
    type_k="f32",
    type_v="f32",
)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / f"{request.param}.gguf"
    route_logs(lambda _level, _text: None)
    shape(request.param, path, n_window=WINDOW, n_layer=8, n_vocab=1024, matrix_type=F32)
    return Model(path, PARAMS, lambda _: None)


def new_context(model: Model, n_seq_max: int) -> Context:
    context = Context(
        model,
        PARAMS,
        n_seq_max=n_seq_max,
        n_threads=1,
        n_more_outputs=MAX_DRAFT_TOKENS,
        n_rollback=model.n_rollback,
    )
    context.learn_layout(model.first_token)
    return context


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    context = new_context(model, n_seq_max=3)
    yield context
    context.close()


def some_tokens(model: Model, n_tokens: int, seed: int = 1) -> list[int]:
    dice = np.random.default_rng(seed)
    return [int(token) for token in dice.integers(300, model.n_vocab, n_tokens)]


def logits_one_by_one(context: Context, tokens: list[int], start: int) -> list[np.ndarray]:
    found = []
    for at in range(start, len(tokens)):
        assert context.decode([BatchPart(0, at, tokens[at : at + 1], n_logits=1)]) == DECODE_OK
        found.append(context.logits(0).copy())
    return found


def are_alike(logits: np.ndarray, expected: np.ndarray) -> bool:
    """Whether logits differ by rounding only, where a token could be chosen at all."""
    could_be = expected > expected.max() - 30
    return bool(np.abs(logits - expected)[could_be].max() < 0.01)


def test_drafts_and_aborts_are_on_where_they_are_exact(
    model: Model, context: Context, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["model"]
    assert (not undo(model, context).no_drafts) == (name in DRAFTS)
    assert (not undo(model, context).no_abort) == (name in ABORTS)


def test_rejected_drafts_leave_the_logits_as_they_were(model: Model, context: Context) -> None:
    if undo(model, context).no_drafts:
        pytest.skip("makes no drafts")
    tokens = some_tokens(model, 300)
    wrong = some_tokens(model, MAX_DRAFT_TOKENS, seed=2)
    start = 2 * WINDOW
    prompt = [BatchPart(0, 0, tokens[:start], n_logits=0)]
    assert context.decode(prompt) == DECODE_OK
    expected = logits_one_by_one(context, tokens, start)
    context.clear(0)
    other = some_tokens(model, 400, seed=3)
    assert context.decode(prompt) == DECODE_OK
    assert context.decode([BatchPart(1, 0, other[:100], n_logits=0)]) == DECODE_OK
    dice = np.random.default_rng(4)
    at, at_other = start, 100
    while at < len(tokens):
        n_draft = int(dice.integers(1, MAX_DRAFT_TOKENS + 1))
        n_right = min(int(dice.integers(n_draft + 1)), len(tokens) - at - 1)
        draft = [*tokens[at + 1 : at + 1 + n_right], *wrong][:n_draft]
        drafted = BatchPart(0, at, [tokens[at], *draft], n_logits=1 + n_draft)
        beside = BatchPart(1, at_other, other[at_other : at_other + 1], n_logits=1)
        assert context.decode([drafted, beside]) == DECODE_OK
        for row in range(1 + min(n_right, n_draft)):
            assert are_alike(context.logits(row), expected[at + row - start]), (at, row)
        n_keep = at + 1 + min(n_right, n_draft)
        if n_right < n_draft:
            assert context.drop_drafts(0, n_keep) == n_keep
        check_copies(context, tokens, n_keep, expected[n_keep - start] if n_keep < 300 else None)
        at, at_other = n_keep, at_other + 1


def check_copies(
    context: Context, tokens: list[int], n_keep: int, expected: np.ndarray | None
) -> None:
    """Compare how a copy and what is saved go on after drafts were dropped."""
    if expected is None or context.layout is None:
        return
    next_token = BatchPart(2, n_keep, [tokens[n_keep]], n_logits=1)
    assert context.copy_prefix(0, 2, n_keep) == n_keep
    assert context.decode([next_token]) == DECODE_OK
    assert are_alike(context.logits(0), expected)
    parts = context.save_range(0, 2, 0, n_keep, with_recurrent=True)
    assert parts is not None
    context.clear(2)
    windows = [parts.window_rows] if context.layout.windows else []
    assert context.load_parts(2, n_keep, [parts.rows], windows, parts.recurrent)
    assert context.decode([next_token]) == DECODE_OK
    assert are_alike(context.logits(0), expected)
    context.clear(2)


def test_an_aborted_step_leaves_whole_physical_batches(model: Model, context: Context) -> None:
    if undo(model, context).no_abort:
        pytest.skip("aborts no step")
    tokens, other = some_tokens(model, 400), some_tokens(model, 200, seed=3)
    start = 3 * WINDOW
    more = start + 3 * UBATCH
    parts = [
        BatchPart(0, start, tokens[start:more], n_logits=0),
        BatchPart(1, 100, other[100:101], n_logits=1),
    ]

    def begin() -> None:
        for seq_id in (0, 1):
            context.clear(seq_id)
        before = [BatchPart(0, 0, tokens[:start], n_logits=0), BatchPart(1, 0, other[:100], 0)]
        assert all(context.decode([part]) == DECODE_OK for part in before)

    begin()
    never = Countdown(10**9)
    assert context.decode(parts, never) == DECODE_OK
    expected_other = context.logits(more - start).copy()
    expected = logits_one_by_one(context, tokens[: more + 20], more)
    n_whole = set()
    for share in (0.1, 0.4, 0.7, 0.99):
        begin()
        assert context.decode(parts, Countdown(int(never.n_asked * share))) == DECODE_ABORTED
        n_held = context.n_held(0)
        n_whole.add((n_held - start) // UBATCH)
        assert (n_held - start) % UBATCH == 0
        assert context.n_held(1) == 100
        rest = [BatchPart(0, n_held, tokens[n_held:more], n_logits=0)] if n_held < more else []
        assert context.decode([*rest, parts[1]]) == DECODE_OK
        assert are_alike(context.logits(more - n_held), expected_other)
        again = logits_one_by_one(context, tokens[: more + 20], more)
        assert all(are_alike(*pair) for pair in zip(again, expected, strict=True))
    assert len(n_whole) > 1


class Countdown:
    """Lets a step end after so many operations."""

    def __init__(self, n_left: int) -> None:
        self._n_left = n_left
        self.n_asked = 0

    def __call__(self) -> bool:
        self.n_asked += 1
        return self.n_asked > self._n_left


class Script:
    """The other end of the channel: sends commands, and `Shutdown` when all are answered."""

    def __init__(self, commands: list[Generate]) -> None:
        self._commands = commands
        self.events: list[Event] = []

    def post(self, event: Event) -> None:
        self.events.append(event)

    def flush(self) -> None:
        pass

    def poll(self) -> list[Command]:
        return []

    def wait(self, timeout_s: float | None = None) -> list[Command]:
        taken, self._commands = self._commands, []
        return list(taken) or [Shutdown()]


def answers(model: Model, *commands: Generate) -> dict[tuple[str, int], list[int]]:
    """Return the tokens of all answers, by request and choice."""
    context = new_context(model, n_seq_max=6)
    script = Script(list(commands))
    prompts = PromptBuilder(model, model.chat_template, n_ctx=context.n_ctx)
    load = Load(model_path="", params=PARAMS)
    build_loop(load, cast(Channel, script), model, context, prompts, None).run([])
    context.close()
    tokens: dict[tuple[str, int], list[int]] = {}
    for event in script.events:
        assert not isinstance(event, Failed), event
        if isinstance(event, TokensGenerated):
            tokens.setdefault((event.request_id, event.choice), []).extend(event.tokens)
    return tokens


def asked(model: Model, request_id: str, seed: int, **fields: Any) -> Generate:
    return Generate(
        request_id=request_id,
        prompt=RawPrompt(tokens=some_tokens(model, 2 * WINDOW + seed, seed)),
        sampling=SamplingParams(temperature=0.0, ignore_eos=True),
        max_tokens=N_ANSWER,
        report_tokens=True,
        **fields,
    )


class Guesser:
    """Drafts that are right for a while, and then wrong."""

    def __init__(self, expected: list[list[int]]) -> None:
        self._expected = expected
        self._dice = np.random.default_rng(5)
        self.n_wrong = self.n_right = 0

    def draft(self, tokens: Sequence[int], _n_others: int, most: int) -> list[int]:
        known = next(each for each in self._expected if each[: len(tokens)] == list(tokens))
        n_right, n_draft = (int(number) for number in self._dice.integers(0, MAX_DRAFT_TOKENS, 2))
        right = known[len(tokens) :][: min(n_right, n_draft, most)]
        n_wrong = max(0, min(n_draft, most) - len(right))
        self.n_right, self.n_wrong = self.n_right + len(right), self.n_wrong + n_wrong
        return [*right, *([1] * n_wrong)]


def test_drafts_do_not_change_answers_of_several_clients(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [asked(model, str(seed), seed, speculate=False) for seed in (1, 2, 3)]
    expected = answers(model, *commands)
    whole = [
        [*(command.prompt.tokens or []), *expected[command.request_id, 0]]
        for command in commands
        if command.prompt is not None
    ]
    guesser = Guesser(whole)
    monkeypatch.setattr(
        Speculator, "draft", lambda _, tokens, n, most: guesser.draft(tokens, n, most)
    )
    drafted = answers(model, *(asked(model, str(seed), seed) for seed in (1, 2, 3)))
    assert drafted == expected
    assert all(len(answer) == N_ANSWER for answer in drafted.values())
    makes_drafts = not model.is_recurrent or model.n_rollback > 0
    assert bool(guesser.n_right) == bool(guesser.n_wrong) == makes_drafts


def test_several_answers_to_one_prompt_are_like_a_single_one(model: Model) -> None:
    (alone,) = answers(model, asked(model, "alone", 1)).values()
    several = answers(model, asked(model, "several", 1, n=3))
    assert list(several.values()) == [alone] * 3
