"""What was tokenised lately is not tokenised again, within bounds, and until it is forgotten."""

from __future__ import annotations

import msgspec
import pytest

from app.base.special_token import SpecialToken, SplitRules
from app.engine.prompt.builder import PromptBuilder
from app.engine.prompt.token_memo import MIN_CHARS, TokenMemo
from tests.engine.prompt.marks import Marks, generate

END = "<|end|>"
LONG = "a" * MIN_CHARS


class Counting(Marks):
    """A vocabulary that counts the characters it is given, and may add tokens."""

    def __init__(self, *, before: bool = False, behind: bool = False) -> None:
        super().__init__([END])
        self.before, self.behind = before, behind
        self.n_chars = 0

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.n_chars += len(text)
        tokens = super().tokenize(text, add_special=add_special, parse_special=parse_special)
        before, behind = (add_special and each for each in (self.before, self.behind))
        return [*[1] * before, *tokens, *[2] * behind]


def memo(vocabulary: Marks, **more: int) -> TokenMemo:
    made = TokenMemo(vocabulary, SplitRules([SpecialToken(END)]), [END], **more)
    made.prepare()
    return made


def asked(vocabulary: Counting, made: TokenMemo, text: str, *, parse_special: bool = True) -> int:
    """Return how many characters a text costs; its tokens are the vocabulary's."""
    began = vocabulary.n_chars
    tokens = made.tokenize(text, add_special=False, parse_special=parse_special)
    n_chars = vocabulary.n_chars - began
    assert tokens == vocabulary.tokenize(text, add_special=False, parse_special=parse_special)
    return n_chars


def test_a_known_part_costs_nothing_in_another_text() -> None:
    vocabulary = Counting()
    made = memo(vocabulary)
    assert asked(vocabulary, made, f"{LONG}{END}one") == len(f"{LONG}{END}one")
    assert asked(vocabulary, made, f"{LONG}{END}another") == len(f"{END}another")
    assert asked(vocabulary, made, f"b{END}{LONG}") > len(LONG), "it has the mark before it"


def test_a_text_without_special_tokens_is_known_as_a_whole() -> None:
    vocabulary = Counting()
    made = memo(vocabulary)
    text = f"{LONG}{END}{LONG}"
    assert asked(vocabulary, made, text, parse_special=False) == len(text)
    assert asked(vocabulary, made, text, parse_special=False) == 0
    assert asked(vocabulary, made, text) == len(text), "and with them it is another"


def test_without_knowledge_of_the_vocabulary_texts_are_not_cut() -> None:
    vocabulary = Counting()
    made = TokenMemo(vocabulary, None, [END])
    text = f"{LONG}{END}one"
    assert [asked(vocabulary, made, text) for _ in range(2)] == [len(text), 0]
    assert asked(vocabulary, made, text + "!") == len(text) + 1


def test_short_texts_are_not_kept() -> None:
    vocabulary = Counting()
    made = memo(vocabulary)
    assert [asked(vocabulary, made, LONG[1:]) for _ in range(2)] == [MIN_CHARS - 1] * 2
    assert made.n_bytes == 0


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_tokens_that_are_added_stand_where_the_vocabulary_puts_them(
    before: bool, behind: bool
) -> None:
    vocabulary = Counting(before=before, behind=behind)
    made = memo(vocabulary)
    for text in (f"{LONG}{END}{LONG}", "a", ""):
        wanted = vocabulary.tokenize(text, add_special=True, parse_special=True)
        for _ in range(2):
            assert made.tokenize(text, add_special=True, parse_special=True) == wanted


def test_the_least_recently_used_texts_go_first_and_all_take_no_more_than_allowed() -> None:
    vocabulary = Counting()
    made = memo(vocabulary, max_bytes=6 * MIN_CHARS * 5)
    texts = [f"{number:03}{LONG}" for number in range(20)]
    for text in texts:
        asked(vocabulary, made, text)
        assert asked(vocabulary, made, texts[0]) == 0, "it is used all the time"
        assert 0 < made.n_bytes <= 6 * MIN_CHARS * 5
    assert [asked(vocabulary, made, text) > 0 for text in (texts[-1], texts[1])] == [False, True]


def test_texts_that_grow_while_they_are_kept_do_not_spoil_the_count() -> None:
    vocabulary, n_bytes = Counting(), 0
    made = memo(vocabulary, max_bytes=6 * MIN_CHARS * 5)
    for number in range(50):
        text = f"{number:03}" + "\u00e9" * MIN_CHARS
        asked(vocabulary, made, text)
        msgspec.json.encode(text)  # CPython keeps the UTF-8 form with the text
        n_bytes = max(n_bytes, made.n_bytes)
    assert made.n_bytes == n_bytes > MIN_CHARS


def test_a_text_that_has_no_room_pushes_none_out() -> None:
    vocabulary = Counting()
    made = memo(vocabulary, max_bytes=8 * MIN_CHARS)
    asked(vocabulary, made, LONG)
    n_bytes = made.n_bytes
    assert asked(vocabulary, made, LONG * 9) == asked(vocabulary, made, LONG * 9) > 0
    assert made.n_bytes == n_bytes > MIN_CHARS * 5


def test_forgotten_texts_take_no_memory() -> None:
    vocabulary = Counting()
    made = memo(vocabulary)
    asked(vocabulary, made, LONG)
    made.forget()
    assert made.n_bytes == 0
    assert asked(vocabulary, made, LONG) == len(LONG)


def test_the_caller_may_change_the_tokens_it_got() -> None:
    made = memo(Counting())
    made.tokenize(LONG, add_special=False, parse_special=True).append(7)
    assert made.tokenize(LONG, add_special=False, parse_special=True) == [ord("a")] * MIN_CHARS


TEMPLATE = (
    "{% for message in messages %}{{ message.role + ': ' + message.content + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.mark.parametrize("finds_places", [False, True])
def test_instructions_are_tokenised_once_for_all_prompts_until_they_are_forgotten(
    finds_places: bool,
) -> None:
    vocabulary = Counting()
    prompts = PromptBuilder(
        vocabulary,
        TEMPLATE,
        n_ctx=10**6,
        finds_places=finds_places,
        special_tokens=[SpecialToken(END)],
        split_rules=SplitRules([SpecialToken(END)]),
    )
    prompts.prepare()
    head = {"role": "system", "content": LONG * 10}

    def costs(question: str) -> int:
        began = vocabulary.n_chars
        prompts.build(generate([head, {"role": "user", "content": question}]))
        return vocabulary.n_chars - began

    assert len(LONG) * 10 <= costs("Why?") < len(LONG) * 11
    assert max(costs("Who?"), costs(f"And {END}?")) < len(LONG)
    prompts.forget()
    assert costs("Who?") >= len(LONG) * 10
