"""A prompt without a template becomes the tokens that the model expects, or an error."""

from __future__ import annotations

from typing import Any

import pytest

from app.base.json_types import as_json
from app.engine.prompt.builder import PromptBuilder
from app.engine.prompt.raw_prompt import RawTokenizer, raw_tokens
from app.errors import ContextOverflow, InvalidRequest
from app.protocol import CountTokens, ExtraText, Generate, Infill, RawPrompt, SamplingParams
from tests.engine.prompt.test_builder import BOS, Letters, LettersWithoutBos

PREFIX, SUFFIX, MIDDLE, REPOSITORY, FILE = 2, 3, 4, 6, 7


class Code(Letters):
    """A vocabulary with tokens to fill in the middle, in which `<` is a special token, 5."""

    infill_tokens = (PREFIX, SUFFIX, MIDDLE)
    n_vocab = 200

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        tokens = super().tokenize(text, add_special=add_special, parse_special=True)
        return [5 if token == ord("<") and parse_special else token for token in tokens]


def tokens(tokenizer: RawTokenizer | None = None, **fields: Any) -> list[int]:
    return raw_tokens(RawPrompt(**fields), tokenizer or Code())


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def refused(tokenizer: RawTokenizer | None = None, **fields: Any) -> str | None:
    with pytest.raises(InvalidRequest) as caught:
        tokens(tokenizer, **fields)
    return caught.value.param


def test_a_text_is_read_with_what_the_model_wants_around_it() -> None:
    assert tokens(text="ab") == [BOS, *letters("ab")]
    assert tokens(text="ab", add_special=False) == letters("ab")
    assert tokens(text="<") == [BOS, 5], "special tokens in a text are tokens"


def test_a_beginning_of_sequence_that_the_text_has_is_not_doubled() -> None:
    assert tokens(text="^ab") == [BOS, *letters("ab")]


@pytest.mark.parametrize("add_special", [True, False])
def test_an_empty_text_is_the_beginning_of_a_sequence(add_special: bool) -> None:
    assert tokens(text="", add_special=add_special) == [BOS]


def test_an_empty_text_is_refused_where_a_sequence_has_no_beginning() -> None:
    assert refused(LettersWithoutBos(), text="") == "prompt"


def test_token_ids_are_taken_as_they_are() -> None:
    assert tokens(tokens=[7, 0, 199]) == [7, 0, 199]


@pytest.mark.parametrize("ids", [[], [-1], [7, 200], [2**63]])
def test_no_token_ids_and_those_of_no_token_are_refused(ids: list[int]) -> None:
    assert refused(tokens=ids) == "prompt"


def test_a_middle_is_filled_in_behind_prefix_and_suffix() -> None:
    ab, cd = letters("a<"), letters("<d")
    expected = [BOS, PREFIX, *ab, SUFFIX, *cd, MIDDLE]
    assert tokens(text="a<", suffix="<d") == expected, "what is in them is no special token"
    assert tokens(tokens=ab, suffix="<d", add_special=False) == expected[1:]


def test_nothing_is_before_a_prefix_where_the_model_wants_nothing_there() -> None:
    class WithoutBos(Code):
        adds_bos = False

    assert tokens(WithoutBos(), text="", suffix="d") == [PREFIX, SUFFIX, ord("d"), MIDDLE]


def test_an_empty_suffix_is_none() -> None:
    assert tokens(Letters(), text="ab", suffix="") == [BOS, *letters("ab")]


def test_a_model_without_the_tokens_for_it_fills_in_nothing() -> None:
    assert refused(Letters(), text="ab", suffix="d") == "suffix"
    assert refused(Code(), tokens=[200], suffix="d") == "prompt"


def generate(**fields: Any) -> Generate:
    return Generate(request_id="r", prompt=RawPrompt(**fields), sampling=SamplingParams())


def test_a_raw_prompt_takes_the_place_of_the_conversation() -> None:
    prompt = PromptBuilder(Code(), None, n_ctx=100).build(generate(text="ab"))
    assert (prompt.tokens, prompt.text, prompt.n_system) == ([BOS, *letters("ab")], "", 0)


def test_a_raw_prompt_that_leaves_no_room_for_an_answer_is_refused() -> None:
    with pytest.raises(ContextOverflow) as refused:
        PromptBuilder(Code(), None, n_ctx=10).build(generate(text="a" * 9))
    assert refused.value.param == "prompt"


def test_prompts_are_counted_however_small_the_context_is() -> None:
    builder = PromptBuilder(Letters(), "{{ messages[0].content }}", n_ctx=2)
    raw = CountTokens(request_id="r", prompt=RawPrompt(tokens=[7, 8, 9]))
    messages = as_json([{"role": "user", "content": "abcd"}])
    conversation = CountTokens(request_id="r", messages=messages)
    assert builder.count(raw) == 3
    assert builder.count(conversation) == 5


# ---------------------------------------------------------------- infill


class Repository(Code):
    """A vocabulary with tokens for the names of repositories and files, too."""

    infill_separators = (REPOSITORY, FILE)


def infilled(tokenizer: RawTokenizer | None = None, n_ctx: int = 1000, **fields: Any) -> list[int]:
    prompt = RawPrompt(infill=Infill(**fields))
    return raw_tokens(prompt, tokenizer or Code(), n_ctx=n_ctx)


EXTRA = [ExtraText(text="one", filename="a.py"), ExtraText(text="two")]


def test_the_middle_is_filled_in_between_prefix_and_suffix_and_begins_with_what_is_known() -> None:
    found = infilled(prefix="ab<", suffix="yz", middle="c")
    assert found == [BOS, PREFIX, *letters("ab<"), SUFFIX, *letters("yz"), MIDDLE, *letters("c")]
    assert infilled(prefix="", suffix="") == [BOS, PREFIX, SUFFIX, MIDDLE]


def test_other_texts_come_first_with_their_names_where_the_model_has_a_token_for_them() -> None:
    text = [PREFIX, *letters("a"), SUFFIX, *letters("z"), MIDDLE]
    named = [REPOSITORY, *letters("project\n"), FILE, *letters("a.py\none")]
    named += [FILE, *letters("other\ntwo"), FILE, *letters("file\n")]
    assert infilled(Repository(), prefix="a", suffix="z", extra=EXTRA) == [BOS, *named, *text]
    assert infilled(Repository(), prefix="a", suffix="z") == [BOS, *text]
    unnamed = letters("one\n\ntwo\n\n")
    assert infilled(prefix="a", suffix="z", extra=EXTRA) == [BOS, *unnamed, *text]


@pytest.mark.parametrize("n_ctx", [40, 64, 100, 1000])
@pytest.mark.parametrize("n_answer", [0, 10, 10**6])
def test_a_long_text_is_cut_to_what_is_next_to_the_middle(n_ctx: int, n_answer: int) -> None:
    prefix, suffix = "<" + "a" * 5000 + "b", "y" + "z" * 5000 + "<"
    extra = [ExtraText(text="x" * 5000 + "w")]
    for others in ([], extra):
        found = infilled(
            prefix=prefix, suffix=suffix, middle="m", n_ctx=n_ctx, n_answer=n_answer, extra=others
        )
        assert n_ctx // 4 <= len(found) < n_ctx
        assert len(found) + n_answer <= n_ctx or n_answer > n_ctx
        assert found[-2:] == [MIDDLE, ord("m")]
        middle = found[found.index(PREFIX) :]
        n_before, n_after = (
            middle.index(SUFFIX) - 1,
            middle.count(ord("z")) + middle.count(ord("y")),
        )
        assert n_before >= 2 * n_after
        assert middle[n_before] == ord("b")
        assert not n_after or middle[n_before + 2] == ord("y")


def test_a_prompt_begins_like_the_one_before_it_while_somebody_types() -> None:
    text = "".join(chr(ord("a") + n * n % 23) for n in range(3000))

    def prompt(n_typed: int, middle: str) -> list[int]:
        return infilled(prefix=text[:n_typed], suffix=text, middle=middle, n_ctx=400)

    first = prompt(2000, "")
    for n_typed in range(20):
        typed = prompt(2000, "m" * n_typed)
        assert typed[: len(first)] == first
    starts = {tuple(prompt(n, "")[:100]) for n in range(2000, 2100)}
    assert len(starts) <= 4


def test_a_model_that_cannot_fill_in_the_middle_is_named_by_the_field() -> None:
    assert refused(LettersWithoutBos(), infill=Infill(prefix="a", suffix="z")) == "input_suffix"
