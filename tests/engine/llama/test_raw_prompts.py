"""The bundled model answers raw prompts, and tells of them what its logits say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from app.engine.assembly import build_loop
from app.engine.constrain import Compiler, build_tokenizer
from app.engine.decode.speculation import MAX_DRAFT_TOKENS
from app.engine.ipc.channel import Channel
from app.engine.llama import BatchPart, Context, Model
from app.engine.prompt.builder import PromptBuilder
from app.protocol import (
    Command,
    Constraint,
    Event,
    Failed,
    Finished,
    Generate,
    Load,
    LoadParams,
    PromptEcho,
    RawPrompt,
    SamplingParams,
    Shutdown,
    TextDelta,
)

NANO = Path(__file__).resolve().parents[3] / "models" / "distiller-nano-3m-q8_0.gguf"
PARAMS = LoadParams(n_ctx=256, n_threads=1)
TEXT = "Once upon a time there was a little robot that lived in a house by the sea."
GREEDY = SamplingParams(temperature=0.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(NANO, PARAMS, lambda _: None)


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
        return [self._commands.pop(0)] if self._commands else [Shutdown()]


def events_of(model: Model, *commands: Generate) -> list[Event]:
    context = Context(model, PARAMS, n_seq_max=5, n_threads=1, n_more_outputs=MAX_DRAFT_TOKENS)
    script = Script(list(commands))
    prompts = PromptBuilder(model, model.chat_template, n_ctx=context.n_ctx)
    load = Load(model_path=str(NANO), params=PARAMS)
    compiler = Compiler(build_tokenizer(model))
    build_loop(load, cast(Channel, script), model, context, prompts, compiler).run([])
    context.close()
    return script.events


def command(request_id: str = "r", text: str = TEXT, **fields: Any) -> Generate:
    fields = {"sampling": GREEDY, "prompt": RawPrompt(text=text), "max_tokens": 12, **fields}
    return Generate(request_id=request_id, **fields)


def text_of(events: list[Event], request_id: str = "r") -> str:
    deltas = (event for event in events if isinstance(event, TextDelta))
    return "".join(delta.text for delta in deltas if delta.request_id == request_id)


@pytest.fixture(scope="module")
def expected(model: Model) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
    """The tokens of `TEXT`, and the logprobs of the whole vocabulary behind each of them."""
    tokens = model.tokenize(TEXT, add_special=True, parse_special=True)
    context = Context(model, PARAMS, n_seq_max=1, n_threads=1, n_more_outputs=len(tokens))
    context.decode([BatchPart(0, 0, tokens, n_logits=len(tokens))])
    logits = np.array([context.logits(row) for row in range(len(tokens))], dtype=np.float64)
    yield tokens, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    context.close()


@pytest.mark.parametrize("max_tokens", [0, 4])
def test_logprobs_of_a_prompt_are_those_of_all_its_logits(
    model: Model, expected: tuple[list[int], npt.NDArray[np.float64]], max_tokens: int
) -> None:
    tokens, logprobs = expected
    events = events_of(model, command(max_tokens=max_tokens, prompt_logprobs=5))
    (echo,) = [event for event in events if isinstance(event, PromptEcho)]
    assert echo.text == TEXT
    assert [token.id for token in echo.tokens] == tokens
    assert b"".join(token.piece for token in echo.tokens[-20:]) in TEXT.encode()
    for at, token in enumerate(echo.tokens[1:]):
        row = logprobs[at]
        assert token.logprob == pytest.approx(row[token.id], abs=0.02)
        best = [chance.logprob for chance in token.top]
        assert best == pytest.approx(np.sort(row)[:-6:-1], abs=0.02)


def test_a_prompt_with_logprobs_is_answered_as_without(model: Model) -> None:
    plain = text_of(events_of(model, command()))
    assert plain
    assert text_of(events_of(model, command(prompt_logprobs=0))) == plain


def test_text_and_its_tokens_are_the_same_prompt(model: Model) -> None:
    tokens = model.tokenize(TEXT, add_special=True, parse_special=True)
    events = events_of(model, command("a"), command("b", prompt=RawPrompt(tokens=tokens)))
    assert text_of(events, "a") == text_of(events, "b")
    (last,) = [e for e in events if isinstance(e, Finished) and e.request_id == "b"]
    assert last.usage.cached_tokens == len(tokens) - 1


def test_an_answer_to_a_raw_prompt_can_be_held_to_a_schema(model: Model) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    text = json.dumps({**schema, "additionalProperties": False})
    constraint = Constraint(kind="json_schema", text=text, param="response_format")
    for prompt_logprobs in (None, 1):
        asked = command(constraint=constraint, prompt_logprobs=prompt_logprobs, max_tokens=40)
        assert json.loads(text_of(events_of(model, asked)))["a"] in (1, 2)


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (RawPrompt(text=""), "prompt"),  # the model knows no beginning of a sequence
        (RawPrompt(tokens=[2048]), "prompt"),
        (RawPrompt(text="a", suffix="b"), "suffix"),
    ],
)
def test_a_prompt_that_this_model_cannot_read_is_refused(
    model: Model, prompt: RawPrompt, param: str
) -> None:
    events = events_of(model, command(prompt=prompt))
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.kind, failed.param) == ("InvalidRequest", param)
