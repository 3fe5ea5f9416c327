"""With vocabularies of every kind, remembered tokens are those that llama.cpp gives."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from app.chat.template.chat_template import CHATML
from app.engine.llama import Model
from app.engine.prompt.token_memo import MIN_CHARS, TokenMemo
from app.protocol import LoadParams
from tests.engine.llama import small_vocabularies
from tests.engine.llama.nano import NANO

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "vocab"
FILES = {path.stem: path for path in (NANO, *sorted(FOLDER.glob("*.gguf")))}
PLAIN = (
    "the of it is on",
    " and 12, then\tgo",
    "Hm.  ",
    "\n",
    "\n\n",
    "\n\n\n",
    "   ",
    " ",
    "\t",
    "é",
    "日本語の文",
    "👩\u200d👩\u200d👧",
    "e\u0301",
    "\u00a0",
    "\u2581",
    "\ufffd",
    "\ud800",
    "\0",
    "12345",
    "it's",
    "\nThe",
    ".\nIt",
    " \nthe",
    "\r\nOn",
    "\n\nthe",
    "\n12",
    "a\n1",
    "x\u1680\nin",
    "a" * 40,
    "<",
    "|>",
    "<|",
    "</",
    "_",
)


@pytest.fixture(scope="module", params=[*FILES, *small_vocabularies.KINDS])
def vocabulary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    name = request.param
    folder = tmp_path_factory.mktemp("vocabularies")
    path = FILES.get(name) or small_vocabularies.write(name, folder / f"{name}.gguf")
    return Model(path, LoadParams(), lambda _: None, vocab_only=True)


def specials(vocabulary: Model, dice: random.Random) -> list[str]:
    texts = [token.text for token in vocabulary.split_tokens()]
    return [*vocabulary.end_texts, *dice.sample(texts, min(24, len(texts)))]


def text(dice: random.Random, marks: list[str]) -> str:
    """Return a random text with special tokens, broken ones too, and plain ones between."""
    parts = []
    for _ in range(dice.randint(1, 24)):
        mark = dice.choice(marks)
        at = dice.randint(0, len(mark))
        some = [mark, mark[:at], mark[at:], mark[:at] + mark]
        parts += dice.choices([*some, mark, mark], k=dice.randint(0, 2))
        parts += dice.choices(PLAIN, k=dice.randint(0, 12))
        parts += [dice.choice(PLAIN) * 60] if dice.random() < 0.2 else []
    return "".join(parts)


@pytest.mark.parametrize("seed", range(3))
def test_remembered_tokens_are_those_of_the_whole_text(vocabulary: Model, seed: int) -> None:
    dice = random.Random(seed)
    marks = specials(vocabulary, dice)
    memo = TokenMemo(vocabulary, vocabulary.split_rules(), marks, max_bytes=1 << 17)
    texts = [text(dice, marks) for _ in range(16)]
    for _ in range(2):
        for each in texts:
            for flags in ({"add_special": True}, {"add_special": False}):
                for is_parsed in (True, False):
                    wanted = vocabulary.tokenize(each, **flags, parse_special=is_parsed)
                    found = memo.tokenize(each, **flags, parse_special=is_parsed)
                    assert found == wanted, each
    assert 0 < memo.n_bytes <= 1 << 17


def test_a_text_that_goes_on_from_a_known_one_costs_little(vocabulary: Model) -> None:
    end = vocabulary.end_texts[0]
    memo = TokenMemo(vocabulary, vocabulary.split_rules(), [CHATML, end])
    head = "Be brief, be kind. " * MIN_CHARS + end
    memo.tokenize(head + "Why?", add_special=False, parse_special=True)
    first = memo.n_bytes
    again = head + "Why?" * (MIN_CHARS // 4)
    memo.tokenize(again, add_special=False, parse_special=True)
    assert memo.n_bytes - first < first / 4, "the head was kept once"


def test_lines_that_are_known_cost_nothing_where_the_vocabulary_splits_there(
    vocabulary: Model,
) -> None:
    rules = vocabulary.split_rules()
    texts = {token.text for token in rules.tokens if token.is_user_defined}
    splits = "\n" in texts or rules.newline != "joined"
    memo = TokenMemo(vocabulary, vocabulary.split_rules(), [CHATML])
    head = "Be brief.\nBe kind.\n" * MIN_CHARS
    memo.tokenize(f"{head}Why?", add_special=False, parse_special=True)
    first = memo.n_bytes
    memo.tokenize(f"{head}Who?", add_special=False, parse_special=True)
    assert (memo.n_bytes - first < first / 4) == (splits and not strips(vocabulary))


def strips(vocabulary: Model) -> bool:
    return any(token.strips_after or token.strips_before for token in vocabulary.split_tokens())


def test_split_tokens_are_those_that_no_text_around_them_merges_with(vocabulary: Model) -> None:
    tokens = list(vocabulary.split_tokens())
    assert {token.text for token in vocabulary.special_tokens()} == {
        token.text for token in tokens if not token.is_user_defined
    }
    for token in tokens:
        if token.is_user_defined and not token.text.isspace():
            alone = vocabulary.token_of(token.text)
            plain = vocabulary.tokenize(f"a{token.text}b", add_special=False, parse_special=False)
            assert alone in plain, token.text
