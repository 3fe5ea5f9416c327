"""An answer that was cut is found again, and its prompt says no more than the template wrote.

Every published template, cut in text, thoughts and calls, by a limit and by stop strings. Covers
`app.engine.prompt.cut_answers` and `app.engine.prompt.generated_turns`.
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.base.json_types import as_json
from app.base.prefix import common_prefix
from app.engine.prompt.builder import PromptBuilder
from app.engine.prompt.cut_answers import whole_tokens
from app.errors import InvalidRequest, TemplateRefused
from app.protocol import Generate, PromptEnd, SamplingParams
from tests.chat.tool_formats.test_cut_calls import written
from tests.engine.prompt.chunks import Chunks, answered, cut_turn, generated, until
from tests.engine.prompt.test_answers_of_templates import ENDS, FOLDER, PATHS, QUESTION, TOOL

pytestmark = pytest.mark.usefixtures("one_moment")

TEXT = "Well, that is\n\nso. Schöne Grüße vom 🦙, and more of it"
THOUGHTS = "\nHm, let me see: ¿is it?"
AGAIN = {"role": "user", "content": "And now?"}
N_CUTS = 5


@cache
def vocabulary_of(path: Path) -> Chunks:
    source = path.read_text()
    return Chunks([], [end for end in ENDS if end in source][:2])


@cache
def builders(path: Path) -> tuple[PromptBuilder, PromptBuilder]:
    """Return a builder that learns of answers, and one that does not."""
    vocabulary = vocabulary_of(path)
    made = [PromptBuilder(vocabulary, path.read_text(), n_ctx=1 << 20) for _ in range(2)]
    return made[0], made[1]


def asked(messages: list[dict[str, Any]], end: PromptEnd = "opened", **more: Any) -> Generate:
    return Generate(
        request_id="r",
        messages=as_json(messages),
        tools=as_json([TOOL]),
        sampling=SamplingParams(),
        prompt_end=end,
        **more,
    )


def texts(prompts: PromptBuilder, prompt_text: str) -> list[str]:
    """Return answers as the model may write them."""
    text = TEXT
    if prompts.reasoning is not None:
        is_open = prompt_text.rstrip().endswith(prompts.reasoning.opening)
        opening = "" if is_open else prompts.reasoning.opening
        text = f"{opening}{THOUGHTS}\n{prompts.reasoning.closing}\n\n{TEXT}"
    return [text, TEXT, TEXT + written(prompts.tool_format.name)]


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_cut_answer_is_found_again_and_says_the_same(path: Path) -> None:
    dice = random.Random(path.stem)
    learns, plain = builders(path)
    vocabulary = vocabulary_of(path)
    prompt = learns.build(asked([QUESTION]))
    for text in texts(learns, prompt.text):
        for _ in range(N_CUTS):
            tokens = generated(vocabulary, text, dice)
            at = dice.randrange(len(text) - 3)
            for stop in ("", text[at : at + dice.randint(1, 3)]):
                tokens = until(vocabulary, tokens, stop) if stop else tokens
                cut = tokens if stop else tokens[: dice.randint(1, len(tokens))]
                check(path, learns, plain, cut, stop)


def check(
    path: Path, learns: PromptBuilder, plain: PromptBuilder, tokens: list[int], stop: str
) -> None:
    vocabulary = vocabulary_of(path)
    command = asked([QUESTION], stop=[stop] if stop else [])
    prompt = plain.build(command)
    pieces = [vocabulary.piece(token) for token in tokens]
    turn = cut_turn(prompt, tokens, pieces, stop)
    message = answered(plain, command, prompt, pieces)
    ways: list[tuple[list[dict[str, Any]], PromptEnd]] = [
        ([QUESTION, message, AGAIN], "opened"),
        ([QUESTION, message], "continued"),
    ]
    for messages, end in ways:
        learns.turns.clear()
        try:
            expected = plain.build(asked(messages, end))
        except (TemplateRefused, InvalidRequest):
            continue
        learns.turns.remember(turn)
        found = learns.build(asked(messages, end)).tokens
        assert vocabulary.spell(found) == vocabulary.spell(expected.tokens), (turn, end)
        if expected.text.startswith(prompt.text):
            n_shared = common_prefix(expected.text[len(prompt.text) :], turn.answer_text)
            n_tokens, _ = whole_tokens(turn.lengths, n_shared)
            n_found = common_prefix(found, list(turn.tokens)) - len(prompt.tokens)
            assert n_found >= n_tokens - 4, (turn, end)
