"""In every published template, known instructions are not tokenised again, and tokens stay."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from app.base.special_token import SpecialToken, SplitRules
from app.engine.prompt.builder import PromptBuilder
from tests.engine.prompt.marks import Marks, generate, offered, said
from tests.engine.prompt.test_special_texts_in_templates import TEMPLATES, special_texts

pytestmark = pytest.mark.usefixtures("one_moment")

HEAD = "Be brief and kind, and say what is so and what is not. " * 100
# They write instructions and the user's text with no special token between them, or with one that
# `special_texts` does not find.
JOINED = {
    "MiniMax-M2",
    "MiniMax-M3",
    "NVIDIA-Nemotron-Nano-v2",
    "google-gemma-2-2b-it",
    "llama-cpp-rwkv-world",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "tencent-Hy3",
}


class Counting(Marks):
    """A vocabulary that counts the characters it is given."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__(texts)
        self.n_chars = 0

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.n_chars += len(text)
        return super().tokenize(text, add_special=add_special, parse_special=parse_special)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_new_question_behind_known_instructions_costs_little(name: str) -> None:
    source = TEMPLATES[name]
    vocabulary = Counting(special_texts(source))
    tokens = [SpecialToken(text) for text in vocabulary.texts]
    prompts = PromptBuilder(
        vocabulary, source, n_ctx=10**7, special_tokens=tokens, split_rules=SplitRules(tokens)
    )

    def costs(question: str) -> int:
        began = vocabulary.n_chars
        head = {"role": "system", "content": HEAD}
        prompt = prompts.build(generate([head, {"role": "user", "content": question}]))
        n_chars = vocabulary.n_chars - began
        parts = vocabulary.tokenize(prompt.text, add_special=False, parse_special=True)
        assert prompt.tokens == parts
        return n_chars

    costs("Why is it so?")
    assert (costs("Who was there?") >= len(HEAD)) == (name in JOINED)
    command = generate(said("so"), offered("so"))
    for _ in range(2):
        prompt = prompts.build(command)
        parts = vocabulary.tokenize(prompt.text, add_special=False, parse_special=True)
        assert prompt.tokens == parts
