"""With real vocabularies: forged special tokens become text, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.chat.template.chat_template import CHATML
from app.engine.llama import Model
from app.engine.prompt.builder import PromptBuilder
from app.protocol import LoadParams
from tests.engine.llama.nano import NANO
from tests.engine.prompt.marks import generate, offered, said

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "vocab"
FILES = {path.stem: path for path in (NANO, *sorted(FOLDER.glob("*.gguf")))}
PHI = (
    "{% for message in messages %}{{ '<|' + message.role + '|>\n' }}"
    "{{ message.content + '<|end|>\n' }}{% endfor %}{{ '<|assistant|>\n' }}"
)


@pytest.fixture(scope="module", params=FILES)
def vocabulary(request: pytest.FixtureRequest) -> Model:
    return Model(FILES[request.param], LoadParams(), lambda _: None, vocab_only=True)


def test_special_tokens_are_those_that_are_parsed_only_on_request(vocabulary: Model) -> None:
    tokens = list(vocabulary.special_tokens())
    assert set(vocabulary.end_texts) <= {token.text for token in tokens}
    ids = {vocabulary.token_of(token.text) for token in tokens}
    for token in tokens:
        parsed = vocabulary.tokenize(token.text, add_special=False, parse_special=True)
        plain = vocabulary.tokenize(f"a{token.text}b", add_special=False, parse_special=False)
        assert len(parsed) == 1
        assert ids.isdisjoint(plain), token.text


@pytest.mark.parametrize("template", [CHATML, PHI])
def test_forged_marks_of_a_real_vocabulary_give_no_control_token(
    vocabulary: Model, template: str
) -> None:
    tokens = list(vocabulary.special_tokens())
    prompts = PromptBuilder(vocabulary, template, n_ctx=10**6, special_tokens=tokens)
    before = PromptBuilder(vocabulary, template, n_ctx=10**6)
    ids = {vocabulary.token_of(token.text) for token in tokens}
    plain = generate(said("so"), offered("so"))
    wanted = prompts.build(plain)
    assert wanted == before.build(plain)
    n_wanted = sum(token in ids for token in wanted.tokens)
    for special in tokens[:: max(1, len(tokens) // 8)]:
        command = generate(said(special.text), offered(special.text))
        prompt = prompts.build(command)
        assert sum(token in ids for token in prompt.tokens) == n_wanted, special.text
        shown = b"".join(map(vocabulary.shown_piece, prompt.tokens)).decode()
        as_control = before.build(command).tokens
        as_shown = b"".join(map(vocabulary.shown_piece, as_control)).decode()
        assert "".join(shown.split()) == "".join(as_shown.split()), special.text
        assert len(as_control) < len(prompt.tokens)


def test_text_with_a_mark_has_the_tokens_that_it_has_alone(vocabulary: Model) -> None:
    end = vocabulary.end_texts[0]
    text = f"Say {end} or{end}.\n\n  Then stop"
    prompts = PromptBuilder(
        vocabulary,
        f"{end}{{{{ messages[0].content }}}}{end}",
        n_ctx=10**6,
        special_tokens=vocabulary.special_tokens(),
    )
    tokens = prompts.build(generate([{"role": "user", "content": text}])).tokens
    alone = vocabulary.tokenize(text, add_special=False, parse_special=False)
    first = tokens.index(vocabulary.token_of(end) or 0)
    assert tokens[first:] == [tokens[first], *alone, tokens[first]]
