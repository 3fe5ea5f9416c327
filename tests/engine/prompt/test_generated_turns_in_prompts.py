"""Turns chain through whole conversations, outlive the process and say what they mean."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.template.chat_template import CHATML, ChatTemplate
from app.chat.template.messages import normalise
from app.engine.llama import Model
from app.engine.prompt.generated_turns import (
    MAX_RECORD_BYTES,
    GeneratedTurn,
    GeneratedTurns,
    from_bytes,
    to_bytes,
)
from app.protocol import LoadParams
from tests.engine.prompt.turn_makers import (
    END,
    Message,
    call,
    hermes,
    plain,
    turn,
)
from tests.live.server import MODELS, NANO

# ---------------------------------------------------------------- conversations

PAIRS = {"ab": 1, "ba": 2, "  ": 3, "\n\n": 4}
TEXTS = {token: pair for pair, token in PAIRS.items()}
TALK = st.lists(st.tuples(st.text("ab \n", max_size=4), st.text("ab \n", max_size=8)), max_size=6)


def tokenize(text: str) -> list[int]:
    """Tokenise in pairs where there is one, from the left."""
    tokens: list[int] = []
    while text:
        pair = PAIRS.get(text[:2])
        tokens.append(pair or ord(text[0]))
        text = text[2 if pair else 1 :]
    return tokens


def spell(tokens: Sequence[int]) -> str:
    return "".join(TEXTS.get(token) or chr(token) for token in tokens)


def generated(text: str, rng: random.Random) -> list[int]:
    """Tokenise in any way there is, as a model does."""
    tokens: list[int] = []
    while text:
        cut = rng.randint(1, len(text))
        tokens += tokenize(text[:cut])
        text = text[cut:]
    return tokens


def built(store: GeneratedTurns, text: str) -> list[int]:
    spliced = store.splice(text)
    return tokenize(text) if spliced is None else spliced.tokens + tokenize(spliced.rest)


@given(TALK, st.integers())
def test_each_prompt_begins_with_all_that_was_there_before(
    talk: list[tuple[str, str]], seed: int
) -> None:
    rng, store, text, known = random.Random(seed), GeneratedTurns(str), "", list[int]()
    for question, answer in talk:
        text += f"[{question}]:"
        prompt = built(store, text)
        assert prompt[: len(known)] == known
        assert spell(prompt) == text
        known = prompt + generated(answer, rng)
        store.remember(GeneratedTurn(text, known, answer, "$"))
        text += answer + "$"


@given(TALK, st.integers())
def test_a_template_that_trims_answers_keeps_them_too(
    talk: list[tuple[str, str]], seed: int
) -> None:
    rng, store, text, known = random.Random(seed), GeneratedTurns(plain, ["$"]), "", list[int]()
    for question, answer in talk:
        text += f"[{question}]:"
        prompt = built(store, text)
        assert prompt[: len(known)] == known
        known = prompt + generated(answer, rng)
        store.remember(GeneratedTurn(text, known, answer, rng.choice(["$", ""]) if answer else "$"))
        text += answer.strip() + "$"


SHORT = st.text("ab$", max_size=5)


@given(st.lists(st.tuples(SHORT, SHORT, st.sampled_from(["$", ""])), max_size=5), SHORT)
def test_what_is_built_always_spells_the_prompt(
    turns: list[tuple[str, str, str]], text: str
) -> None:
    """No splice adds or leaves out a letter, where meaning is no more than the words."""
    store = GeneratedTurns(str, ["$"])
    for prompt, answer, end in turns:
        store.remember(GeneratedTurn(prompt, list(map(ord, prompt + answer)), answer, end))
    assert spell(built(store, text)) == text


# ---------------------------------------------------------------- the real vocabulary


@pytest.fixture(scope="module")
def model() -> Model:
    loaded = Model(MODELS / NANO, LoadParams(n_ctx=512), lambda _: None)
    loaded.show_special(["<tool_call>", "</tool_call>"])
    return loaded


def rendered(messages: list[Message]) -> str:
    template = ChatTemplate(CHATML, bos_token="", eos_token=END)
    return template.render(
        normalise(messages, template.traits),
        tools=None,
        add_generation_prompt=True,
        template_kwargs={},
        now=None,
    )


def spelled(model: Model, text: str) -> list[int]:
    """Return tokens for `text` that are not those its tokeniser gives: letter by letter."""
    tokens: list[int] = []
    for place, part in enumerate(text.split("<tool_call>")):
        tag = "<tool_call>" if place else ""
        for letter in ([tag] if tag else []) + list(part):
            tokens += model.tokenize(letter, add_special=False, parse_special=True)
    return tokens


ARGUMENTS = '{"city":"K\\u00f6ln","days":2.0}'
ASSISTANT_SENDS: list[tuple[str, Message]] = [
    ("The capital is Paris.\n", {"content": "The capital is Paris."}),
    ("Grüße from the 🦙! ", {"content": "Grüße from the 🦙! "}),
    (
        "Let me see.\n\n" + call(ARGUMENTS, "get_weather"),
        {
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"days": 2, "city": "Köln"}'},
                }
            ],
        },
    ),
]


def test_generated_tokens_that_no_tokeniser_would_give_are_found_again(model: Model) -> None:
    store, known = GeneratedTurns(hermes, [END]), list[int]()
    messages: list[Message] = [{"role": "user", "content": "Hello"}]
    for answer, sent in ASSISTANT_SENDS * 2:
        text = rendered(messages)
        spliced = store.splice(text)
        rest = text if spliced is None else spliced.rest
        prompt = [] if spliced is None else spliced.tokens
        prompt += model.tokenize(rest, add_special=False, parse_special=True)
        assert (spliced is None) == (not known)
        assert prompt[: len(known)] == known, "all of the last turn is a hit"
        tokens = spelled(model, answer)
        assert model.detokenize(tokens) == answer
        assert tokens != model.tokenize(answer, add_special=False, parse_special=True)
        known = prompt + tokens
        store.remember(GeneratedTurn(text, known, answer, END))
        messages += [{"role": "assistant", **sent}, {"role": "user", "content": "And then?"}]


# ---------------------------------------------------------------- records


@given(st.text(), st.text(), st.sampled_from([END, "", "\ud800"]), st.lists(st.integers(0, 9)))
def test_a_record_gives_the_turn_back(
    prompt: str, answer: str, end: str, tokens: list[int]
) -> None:
    kept = GeneratedTurn(prompt, tokens, answer, end)
    assert from_bytes(to_bytes(kept, len(kept.tokens)), tokens) == kept


def test_a_record_holds_lone_surrogates() -> None:
    kept = GeneratedTurn("a\ud800", [1], "\udfff", "")
    assert from_bytes(to_bytes(kept, len(kept.tokens)), [1]) == kept


def test_a_record_fits_no_other_number_of_tokens() -> None:
    record = to_bytes(turn("one", 1, 2), 2)
    assert from_bytes(record, [1]) is None
    assert from_bytes(record, [1, 2, 3]) is None


@given(st.binary(max_size=40))
def test_bytes_that_are_no_record_are_none(data: bytes) -> None:
    assert from_bytes(data, []) is None


@given(st.text(min_size=1, max_size=9), st.integers(0, 3), st.integers(0, 40))
def test_a_record_of_a_cut_answer_fits_tokens_that_were_decoded_behind_it(
    answer: str, n_prompt: int, n_beyond: int
) -> None:
    tokens = [*range(n_prompt), *map(ord, answer)]
    kept = GeneratedTurn("prompt", tokens, answer, "", (1,) * len(answer))
    entry = [*tokens, *range(n_beyond)]
    assert from_bytes(to_bytes(kept, len(entry)), entry) == kept
    assert from_bytes(to_bytes(kept, len(entry)), [*entry, 1]) is None


RECORD: dict[str, Any] = {"prompt": b"p", "answer": b"a", "end": b"", "n_tokens": 1, "rest": []}


WRONG: list[dict[str, Any]] = [
    {"prompt": b"\xff"},
    {"prompt": "text"},
    {"answer": None},
    {"n_tokens": -1},
    {"n_tokens": True},
    {"n_tokens": 1.5},
    {"more": 1},
    {"lengths": [2]},
    {"lengths": [-1, 2]},
    {"lengths": [0, 1]},
    {"lengths": [2**31]},
    {"n_beyond": -1},
    {"n_beyond": 2},
    {"n_beyond": 1, "rest": [1]},
]


@pytest.mark.parametrize("wrong", [*WRONG, {"prompt": bytes(MAX_RECORD_BYTES)}])
def test_a_record_with_a_wrong_field_is_none(wrong: dict[str, Any]) -> None:
    assert from_bytes(msgspec.msgpack.encode(RECORD), [1]) is not None
    assert from_bytes(msgspec.msgpack.encode({**RECORD, **wrong}), [1]) is None


def test_a_record_without_lengths_is_that_of_a_whole_answer() -> None:
    found = from_bytes(msgspec.msgpack.encode(RECORD), [1])
    assert found == GeneratedTurn("p", [1], "a", "")


def test_a_record_that_was_cut_or_goes_on_or_nests_is_none() -> None:
    record = to_bytes(turn("one", 1), 1)
    assert all(from_bytes(record[:length], [1]) is None for length in range(len(record)))
    assert from_bytes(record + b"\x00", [1]) is None
    assert from_bytes(b"\x91" * 100_000, [1]) is None
