"""Of an answer that was cut, the tokens are used that end where its text does."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.prefix import common_prefix
from app.engine.llama import Model
from app.engine.prompt.cut_answers import (
    NO_CUT,
    CutAnswer,
    CutEnd,
    cut_answer,
    joined,
    whole_tokens,
)
from app.engine.prompt.generated_turns import GeneratedTurn, GeneratedTurns, Spliced
from app.protocol import LoadParams
from tests.engine.prompt.chunks import Chunks, generated, until
from tests.engine.prompt.turn_makers import ASK, END

VOCABULARIES = Path(__file__).parents[4] / "shared" / "data" / "vocab"

# ---------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("pieces", "stop", "text", "lengths"),
    [
        ([b"Pa", b"ris"], None, "Paris", [2, 3]),
        ([b"Pa", b"ris", b"\n\nUser"], "\n", "Paris", [2, 3]),
        ([b"Pa", b"ris is", b" it"], "is it", "Pa", [2]),
        ([b"Paris"], "Pa", "", []),
        ([b"a", b"\xf0\x9f", b"\xa6\x99", b"b"], None, "a\N{LLAMA}b", [1, 0, 1, 1]),
        ([b"a", b"\xf0\x9f", b"\xa6"], None, "a", [1]),
        ([b"a\xf0\x9f", b"\xa6\x99b"], None, "a\N{LLAMA}b", [0, 3]),
        ([b"a\xf0\x9f", b"\xa6\x99b"], "b", "", []),
        ([b"a", b"\xff", b"b"], None, "a\N{REPLACEMENT CHARACTER}b", [1, 1, 1]),
        ([b"a", b"", b"b"], None, "ab", [1, 0, 1]),
        ([b"a", b"", b"b"], "b", "a", [1]),
        ([b"a", b"\xe2\x82"], "\N{REPLACEMENT CHARACTER}", "a", [1]),
        ([], None, "", []),
    ],
)
def test_whole_tokens_before_the_cut_are_kept(
    pieces: list[bytes], stop: str | None, text: str, lengths: list[int]
) -> None:
    assert cut_answer(pieces, stop) == CutAnswer(text, lengths)


@given(st.lists(st.binary(max_size=3)), st.integers(0, 20))
def test_the_kept_tokens_spell_the_kept_text(pieces: list[bytes], n_chars: int) -> None:
    cut = cut_answer(pieces, None)
    for limit in (len(cut.text), n_chars):
        n_tokens, n_whole = whole_tokens(cut.lengths, limit)
        assert n_whole <= limit
        assert b"".join(pieces[:n_tokens]).decode("utf-8", "replace") == cut.text[:n_whole]


# ---------------------------------------------------------------- the tokens of a prompt


def chunks() -> tuple[Chunks, Callable[[str], list[int]]]:
    vocabulary = Chunks([END])
    return vocabulary, lambda text: vocabulary.tokenize(text, add_special=False, parse_special=True)


def test_a_known_beginning_is_followed_by_the_tokens_of_the_rest() -> None:
    _, tokenize = chunks()
    assert joined([7], END, NO_CUT, tokenize) == [7, *tokenize(END)]
    assert joined([7], "", CutEnd("ab", [2]), tokenize) == [7]


def test_generated_tokens_are_given_up_where_a_word_goes_on() -> None:
    vocabulary, tokenize = chunks()
    known = tokenize("one") + tokenize(" t")
    end = CutEnd("<ask>one t", [3, 2])
    found = joined(known, f"wo{END}", end, tokenize)
    assert found == [*tokenize("one"), *tokenize(" two"), *tokenize(END)]
    assert vocabulary.spell(found) == f"one two{END}".encode()


def test_a_place_far_from_any_end_of_a_token_is_none() -> None:
    _, tokenize = chunks()
    assert joined([7], "y" * 9, CutEnd("x", []), tokenize) is None
    assert joined([7], "y" * 9, CutEnd("", []), tokenize) is None
    assert joined([7, 8], "y", CutEnd("x", [9]), tokenize) is None


def test_a_tokeniser_that_adds_a_space_to_texts_adds_none_behind_an_answer() -> None:
    _, tokenize = chunks()
    found = joined([7], " is it", CutEnd("<ask>Paris", [5]), lambda text: tokenize(f" {text}"))
    assert found == [7, *tokenize(" is it")]


# ---------------------------------------------------------------- prompts


def cut_turn(answer: str, *lengths: int) -> GeneratedTurn:
    return GeneratedTurn(ASK, range(len(lengths)), answer, "", lengths)


def remembered(*turns: GeneratedTurn) -> GeneratedTurns:
    store = GeneratedTurns(str, [END])
    for turn in turns:
        store.remember(turn)
    return store


@pytest.mark.parametrize(
    ("sent", "tokens", "rest"),
    [
        (f"Paris is{END}", [0, 1], f"{END}"),
        (f"Paris is.{END}", [0, 1], f".{END}"),
        (f"Paris is\n</think>{END}", [0, 1], f"\n</think>{END}"),
        (f"Paris i{END}", [0], f" i{END}"),
        ("Paris is", [0, 1], ""),
        ("Paris i", [0], " i"),
        (f"Par{END}", [], f"Par{END}"),
    ],
)
def test_a_cut_answer_serves_as_far_as_a_prompt_goes_on_with_it(
    sent: str, tokens: list[int], rest: str
) -> None:
    found = remembered(cut_turn("Paris is", 5, 3)).splice(ASK + sent)
    assert found is not None
    assert (found.tokens, found.rest) == (tokens, rest)


def test_a_cut_answer_that_comes_back_in_other_words_is_not_used() -> None:
    store = remembered(cut_turn(" Paris", 6))
    assert store.splice(f"{ASK}Paris{END}") is None
    assert store.splice(ASK) is None


def test_a_whole_answer_goes_before_a_cut_one_and_the_longest_before_others() -> None:
    whole = GeneratedTurn(ASK, [9], "Paris is nice", END)
    store = remembered(whole, cut_turn("Paris is", 5, 3), cut_turn("Paris", 5))
    whole_found, cut_found = (
        store.splice(f"{ASK}Paris is{more}{END}") for more in (" nice", " ugly")
    )
    assert whole_found == Spliced([9], END)
    assert cut_found is not None
    assert cut_found.tokens == [0, 1]


def test_tokens_that_were_decoded_behind_a_cut_answer_belong_to_its_turn() -> None:
    store = remembered(cut_turn("Paris is", 5, 3), GeneratedTurn(ASK, [0, 8, 9], "Rome", END))
    assert store.with_tokens([0, 1, 7, 7]) is not None
    assert store.with_tokens([0, 8]) == store.with_tokens([0, 8, 9, 4])
    assert store.with_tokens([1]) is None
    found = store.with_tokens([0, 1])
    assert found is not None
    assert found.answer_text == "Paris is"


# ---------------------------------------------------------------- real vocabularies

TEXT = "Well, that  is\n\nso.  Schöne Grüße vom 🦙!\n\tif x == 1234567:\n        return 'it'"
ENDS = {"qwen2": "<|im_end|>", "llama-bpe": "<|eot_id|>", "phi-3": "<|end|>"}


@pytest.mark.skipif(not VOCABULARIES.exists(), reason=f"no {VOCABULARIES}")
@pytest.mark.parametrize("name", ENDS)
def test_a_real_vocabulary_spells_the_same_with_a_cut_answer_as_without(name: str) -> None:
    path, end = VOCABULARIES / f"ggml-vocab-{name}.gguf", ENDS[name]
    model = Model(path, LoadParams(), lambda _: None, vocab_only=True)

    def tokenize(text: str) -> list[int]:
        return model.tokenize(text, add_special=False, parse_special=True)

    dice, asked, n_known = random.Random(name), f"{end}\nassistant:\n", 0
    prompt = tokenize(asked)
    for _ in range(60):
        tokens = generated(model, TEXT, dice)
        stop = dice.choice(["", TEXT[(at := dice.randrange(len(TEXT) - 2)) : at + 2]])
        tokens = tokens[: dice.randint(1, len(tokens))]
        if stop and stop in model.detokenize(tokens):
            tokens = until(model, tokens, stop)
        cut = cut_answer(map(model.piece, tokens), stop if _has(model, tokens, stop) else None)
        known = [*prompt, *tokens[: len(cut.lengths)]]
        store = remembered(GeneratedTurn(asked, known, cut.text, "", cut.lengths))
        for rest in (f"{end}\nuser:\nAnd?", f"\n</think>\n\n{end}", "ing more", ""):
            text = asked + cut.text + rest
            spliced = store.splice(text)
            found = spliced.whole(tokenize) if spliced is not None else None
            if found is not None:
                assert model.detokenize(found) == model.detokenize(tokenize(text)), (cut, rest)
                n_known += common_prefix(found, known) >= len(known) - 4
    assert n_known >= 150


def _has(model: Model, tokens: list[int], stop: str) -> bool:
    data = b"".join(map(model.piece, tokens))
    return bool(stop) and stop in data.decode("utf-8", "replace")
