"""In every published template, what clients write cannot forge a special token of its model."""

from __future__ import annotations

import copy
import random
import re
from functools import cache
from pathlib import Path

import pytest

from app.base.special_token import SpecialToken
from app.chat.template.chat_template import CHATML
from app.engine.prompt.builder import PromptBuilder
from app.engine.prompt.special_texts import SpecialTexts, sought_by
from app.errors import TemplateRefused
from tests.engine.prompt.marks import Marks, generate, offered, said

pytestmark = pytest.mark.usefixtures("one_moment")

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
TEMPLATES = {"ChatML": CHATML} | {
    path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.jinja"))
}
SPECIAL = re.compile(
    "<[|\uff5c][^<>'\" {}\n]{1,40}[|\uff5c]>"
    r"|<\|[a-z_]+\|?>|<[a-z_]+\|>|\[/?[A-Z_]{3,}\]|</?s>"
    r"|</?[a-z_]{3,20}(?::[a-z]+)?>"
)
N_MARKS = 1
# Some templates cut off what is before it, whoever wrote it. Not if it is text.
CUTTING = frozenset({"</think>"})


def special_texts(source: str) -> list[str]:
    """Return what looks like special tokens in a template."""
    return sorted({match[0] for match in SPECIAL.finditer(source)} | {"<|im_end|>"})


@cache
def builders(source: str) -> tuple[Marks, PromptBuilder, PromptBuilder]:
    """Return a vocabulary, and builders that guard its special tokens and that do not."""
    vocabulary = Marks({*special_texts(source), "<think>", "</think>"})
    tokens = [SpecialToken(text) for text in vocabulary.texts]
    guarding = PromptBuilder(vocabulary, source, n_ctx=10**7, special_tokens=tokens)
    open_ = copy.copy(guarding)  # compiling and trying the template again would take the most time
    open_._special_texts = SpecialTexts((), (), source)
    return vocabulary, guarding, open_


def sample(texts: list[str]) -> list[str]:
    """Return some texts, always the same; one at least could end a turn."""
    dice = random.Random(len(texts))
    ends = [text for text in texts if text.startswith(("<|", "<\uff5c", "["))]
    return sorted({dice.choice(ends), *dice.sample(texts, min(N_MARKS, len(texts)))})


def harmless(mark: str) -> str:
    """Return a text like `mark` that is not special."""
    return mark.translate(str.maketrans("<[>]", "(())"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_mark_becomes_a_special_token_and_the_text_stays_the_same(name: str) -> None:
    source = TEMPLATES[name]
    vocabulary, prompts, before = builders(source)
    plain = generate(said("so"), offered("so"))
    assert prompts.build(plain) == before.build(plain)
    tags = {*prompts.tags, *sought_by(source)}
    for mark in sample(vocabulary.texts):
        soft = harmless(mark)
        hard, easy = (
            generate(said(each, by_assistant="it" if mark in tags else each), offered(each))
            for each in (mark, soft)
        )
        prompt, as_soft = prompts.build(hard), prompts.build(easy)
        assert vocabulary.specials(prompt.tokens) == vocabulary.specials(as_soft.tokens), mark
        if mark not in CUTTING:
            assert vocabulary.text(prompt.tokens) == before.render(hard), mark


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_the_assistant_said_with_its_tags_is_written_as_before(name: str) -> None:
    source = TEMPLATES[name]
    vocabulary, prompts, before = builders(source)
    tags = {*prompts.tags, *sought_by(source)} & set(vocabulary.texts)
    answer = "<think>Hm</think>".join(sorted(tags | {""}))
    asked, so = {"role": "user", "content": "Hi"}, {"role": "user", "content": "So?"}
    for content in [answer, *sorted(tags)[:2]]:
        command = generate([asked, {"role": "assistant", "content": content}, so])
        try:
            wanted = before.build(command).tokens
        except TemplateRefused:
            continue
        if {"<think>", "</think>"} <= tags or "<think>" not in content:
            assert prompts.build(command).tokens == wanted
