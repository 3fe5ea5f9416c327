"""In every published template, what clients write cannot forge a special token of its model."""

from __future__ import annotations

import datetime
import random
import re
from pathlib import Path

import pytest

from app.base.special_token import SpecialToken
from app.chat.template.chat_template import CHATML
from app.engine.prompt.builder import PromptBuilder
from app.engine.prompt.conversation_date import ConversationDates
from tests.engine.prompt.marks import Marks, generate, offered, said

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
TEMPLATES = {"ChatML": CHATML} | {
    path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.jinja"))
}
SPECIAL = re.compile(
    "<[|\uff5c][^<>'\" {}\n]{1,40}[|\uff5c]>"
    r"|<\|[a-z_]+\|?>|<[a-z_]+\|>|\[/?[A-Z_]{3,}\]|</?s>"
    r"|</?[a-z_]{3,20}(?::[a-z]+)?>"
)
N_MARKS = 3
# Templates look for these, and cut off what is before them, whoever wrote it. Not if they are text.
CUTTING = frozenset({"</think>", "<tool_sep>"})


def special_texts(source: str) -> list[str]:
    """Return what looks like special tokens in a template."""
    return sorted({match[0] for match in SPECIAL.finditer(source)} | {"<|im_end|>"})


def sample(texts: list[str]) -> list[str]:
    """Return some texts, always the same; one at least could end a turn."""
    dice = random.Random(len(texts))
    ends = [text for text in texts if text.startswith(("<|", "<\uff5c", "["))]
    return sorted({dice.choice(ends), *dice.sample(texts, min(N_MARKS, len(texts)))})


def harmless(mark: str) -> str:
    """Return a text like `mark` that is not special."""
    return mark.translate(str.maketrans("<[>]", "(())"))


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock stand still: some templates write the time."""
    moment = datetime.datetime(2024, 7, 26)
    monkeypatch.setattr(ConversationDates, "of", lambda _dates, _messages: moment)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_mark_becomes_a_special_token_and_the_text_stays_the_same(name: str) -> None:
    source = TEMPLATES[name]
    vocabulary = Marks(special_texts(source))
    tokens = [SpecialToken(text) for text in vocabulary.texts]
    prompts = PromptBuilder(vocabulary, source, n_ctx=10**7, special_tokens=tokens)
    before = PromptBuilder(vocabulary, source, n_ctx=10**7)
    plain = generate(said("so"), offered("so"))
    assert prompts.build(plain) == before.build(plain)
    for mark in sample(vocabulary.texts):
        answer = "it" if mark in prompts.tags else mark
        prompt = prompts.build(generate(said(mark, by_assistant=answer), offered(mark)))
        soft = harmless(mark)
        answer = "it" if mark in prompts.tags else soft
        as_soft = prompts.build(generate(said(soft, by_assistant=answer), offered(soft)))
        assert vocabulary.specials(prompt.tokens) == vocabulary.specials(as_soft.tokens), mark
        if mark not in CUTTING:
            answer = "it" if mark in prompts.tags else mark
            command = generate(said(mark, by_assistant=answer), offered(mark))
            assert vocabulary.text(prompt.tokens) == before.render(command), mark
