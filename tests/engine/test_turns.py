"""What was generated stands for itself in later prompts, and nothing else ever does."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.conversation import normalise
from app.chat.stream_parser import PlainParser, Reasoning, StreamEvent, Text
from app.chat.templates import CHATML, ChatTemplate
from app.chat.tool_formats.hermes import HermesParser
from app.engine.llama import Model
from app.engine.turns import (
    MAX_RECORD_BYTES,
    Meaning,
    Spliced,
    Turn,
    Turns,
    from_bytes,
    meaning_of,
    to_bytes,
)
from app.protocol import LoadParams
from tests.live.server import MODELS, NANO

END = "<|im_end|>"
ASK = "<|im_start|>assistant\n"
Message = dict[str, Any]


def plain(text: str) -> Meaning:
    return meaning_of(text, PlainParser())


def hermes(text: str) -> Meaning:
    return meaning_of(text, HermesParser())


def remembered(*turns: Turn, meaning: Callable[[str], object] = hermes, **more: Any) -> Turns:
    store = Turns(meaning, **more)
    for turn in turns:
        store.remember(turn)
    return store


def turn(answer: str, *tokens: int, prompt: str = ASK, end: str = END) -> Turn:
    return Turn(prompt, tokens, answer, end)


def call(arguments: str, name: str = "f") -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def rest_of(store: Turns, said: str, *, prompt: str = ASK) -> str | None:
    spliced = store.splice(prompt + said)
    return None if spliced is None else spliced.rest


# ---------------------------------------------------------------- the same words


def test_an_answer_that_comes_back_in_the_same_words_keeps_its_tokens() -> None:
    store = remembered(turn("Paris.", 1, 2, 3))
    spliced = store.splice(f"{ASK}Paris.{END}\n<|im_start|>user\nWhy?")
    assert spliced == Spliced([1, 2, 3], f"{END}\n<|im_start|>user\nWhy?")


def test_a_prompt_that_begins_otherwise_or_stops_early_is_not_spliced() -> None:
    store = remembered(turn("Paris.", 1))
    assert store.splice(f"Hi{ASK}Paris.{END}") is None
    assert store.splice(ASK) is None
    assert store.splice("") is None


@pytest.mark.parametrize("edited", ["Paris", "Paris. Really", "paris.", "Pa ris.", "", "London."])
@pytest.mark.parametrize("end", [END, ""])
def test_an_edited_answer_is_taken_as_edited(edited: str, end: str) -> None:
    store = remembered(turn("Paris.", 1, end=end), ends=[END])
    assert store.splice(f"{ASK}{edited}{END}\n") is None
    assert store.splice(f"{ASK}{edited}") is None


def test_a_prompt_that_ends_with_the_answer_is_known_as_a_whole() -> None:
    assert rest_of(remembered(turn("Paris.", 1)), "Paris.") == ""
    assert rest_of(remembered(turn("Par", 1, end="")), "Par") == ""


def test_an_empty_answer_is_known_by_its_end() -> None:
    store = remembered(turn("", 1))
    assert rest_of(store, f"{END}\n") == f"{END}\n"
    assert rest_of(store, f"Hello{END}\n") is None


def test_an_answer_without_text_or_end_is_not_remembered() -> None:
    assert len(remembered(turn("", 1, end=""))) == 0


def test_an_answer_that_was_cut_off_needs_an_end_that_is_known() -> None:
    cut = turn("Par", 1, end="")
    assert rest_of(remembered(cut, ends=[END]), f"Par{END}\n") == f"{END}\n"
    assert rest_of(remembered(cut, ends=[END]), f"Paris{END}\n") is None
    assert rest_of(remembered(cut), f"Par{END}\n") is None


def test_an_answer_may_end_in_another_way_than_the_template_writes() -> None:
    store = remembered(turn("Paris.", 1, end="<|endoftext|>"), ends=[END, "<|endoftext|>", ""])
    assert rest_of(store, f"Paris.{END}\n") == f"{END}\n"


def test_an_end_that_the_answer_itself_spells_does_not_end_it() -> None:
    store = remembered(turn(f"Write {END} last", 1))
    assert rest_of(store, f"Write {END} last{END}\n") == f"{END}\n"
    assert rest_of(store, f"Write {END}\n") is None
    quoted = remembered(turn(call(f'{{"a":"{END}"}}'), 1))
    assert rest_of(quoted, call(f'{{"a": "{END}"}}') + END) is None


def test_lone_surrogates_are_text_as_any_other() -> None:
    store = remembered(turn("a\ud800b", 1))
    assert rest_of(store, f"a\ud800b{END}") == END
    assert rest_of(store, f" a\ud800b\n{END}") == END
    assert rest_of(store, f"a\ud801b{END}") is None


# ---------------------------------------------------------------- the same meaning


@pytest.mark.parametrize(
    ("generated", "sent"),
    [
        (" Paris.\n", "Paris."),
        ("Paris.", " Paris. "),
        (call('{"a":1}'), call('{"a": 1}')),
        (call('{"a": 1, "b": [1.0, 2]}'), call('{"b": [1, 2.0], "a": 1}')),
        (call('{"a": "\\u00fc\\ud83e\\udd99"}'), call('{"a": "ü🦙"}')),
        (call('{"a": 1e3, "b": -0.0}'), call('{"a": 1000, "b": 0}')),
        (call('{"a": 1e-7}'), call('{"a": 0.0000001}')),
        (call("{}"), '<tool_call>\n{"name": "f"}\n</tool_call>'),
        ("Look:" + call("{}"), "Look:\n" + call("{}")),
        ("Look: \n\n" + call("{}"), "Look:\n" + call("{}")),
        (call("{}") + call("{}", "g"), call("{}") + "\n" + call("{}", "g")),
        (call("{}") + "\nLook.", "Look.\n" + call("{}")),
        ('<tool_call>{"name": "f", "arguments": {}', call("{}")),
        ('<tool_call>{"arguments": {"a":1}, "name": "f"}}</tool_call>', call('{"a": 1}')),
    ],
)
def test_an_answer_that_is_written_otherwise_keeps_its_tokens(generated: str, sent: str) -> None:
    store = remembered(turn(generated, 1, 2))
    assert store.splice(f"{ASK}{sent}{END}\n") == Spliced([1, 2], f"{END}\n")


@pytest.mark.parametrize(
    ("generated", "sent"),
    [
        ("Paris is nice", "Paris  is nice"),
        (call('{"a": 1}'), call('{"a": true}')),
        (call('{"a": 0}'), call('{"a": false}')),
        (call('{"a": 1}'), call('{"a": "1"}')),
        (call('{"a": null}'), call("{}")),
        (call('{"a": [1, 2]}'), call('{"a": [2, 1]}')),
        (call('{"a": 9007199254740993}'), call('{"a": 9007199254740992}')),
        (call('{"a": 1, "a": 2}'), call('{"a": 2}')),
        (call('{"a": 1e999}'), call('{"a": 2e999}')),
        (call('{"a": NaN}'), call('{"a":  NaN}')),
        (call('{"a": x}'), call('{"a":  x}')),
        (call("{}"), call("{}", "g")),
        (call("{}"), call("{}") + call("{}")),
        (call("{}") + call("{}", "g"), call("{}", "g") + call("{}")),
        ("Look:\n" + call("{}"), call("{}")),
        (call("{}"), ""),
        ('<tool_call>{"name": "f", "arguments": {"a": 1', call('{"a": 1}')),
    ],
)
def test_an_answer_that_says_something_else_is_taken_as_it_is(generated: str, sent: str) -> None:
    assert remembered(turn(generated, 1)).splice(f"{ASK}{sent}{END}\n") is None
    assert remembered(turn(sent, 1)).splice(f"{ASK}{generated}{END}\n") is None


@pytest.mark.parametrize("broken", ['{"a": 1, "a": 2}', '{"a": 1e999}', '{"a": x}'])
def test_arguments_that_are_no_plain_json_are_known_by_their_text(broken: str) -> None:
    store = remembered(turn("Look:" + call(broken), 1))
    assert rest_of(store, f"Look:\n{call(broken)}{END}") == END


def test_arguments_that_nest_too_deeply_are_known_by_their_text() -> None:
    deep = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
    store = remembered(turn("Look:" + call(deep), 1))
    assert rest_of(store, f"Look:\n{call(deep)}{END}") == END
    assert rest_of(store, f"Look:\n{call(deep.replace(':', ': '))}{END}") is None


def test_a_template_that_drops_reasoning_from_history_is_honoured() -> None:
    generated = "<think>\nHm.\n</think>\n\nParis."
    for meaning in (plain, thinking):
        store = remembered(turn(generated, 1), meaning=meaning)
        assert rest_of(store, f"Paris.{END}") is None
        assert rest_of(store, f"{generated}{END}") == END
    store = remembered(turn(generated, 1), meaning=thinking)
    assert rest_of(store, f"<think>Hm.</think>Paris.{END}") == END
    assert rest_of(store, f"<think>Oh.</think>Paris.{END}") is None


class ThinkParser:
    """Splits at `</think>`, once all is there."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str, /) -> list[StreamEvent]:
        self._held += text
        return []

    def finish(self) -> list[StreamEvent]:
        thought, tag, said = self._held.partition("</think>")
        return [Reasoning(thought.removeprefix("<think>")), Text(said)] if tag else [Text(thought)]


def thinking(text: str) -> Meaning:
    return meaning_of(text, ThinkParser())


def test_text_far_longer_than_the_answer_is_not_parsed() -> None:
    parsed: list[str] = []
    store = remembered(turn("Paris.", 1), meaning=parsed.append)
    assert store.splice(ASK + "Paris " * 10_000 + END) is None
    assert parsed == []


# ---------------------------------------------------------------- meanings


def test_the_meaning_of_an_answer_is_its_content_and_its_calls() -> None:
    text = " Look:\n" + call('{"b": 1.0, "a": "ü"}') + "\n"
    calls = (("f", '{"a": "\\u00fc", "b": 1}', True),)
    assert hermes(text) == Meaning("Look:", "", calls)
    assert plain(text) == Meaning(text.strip(), "", ())
    assert thinking("<think>\nHm.\n</think>\n\nYes") == Meaning("Yes", "Hm.", ())


def test_a_long_answer_means_what_its_pieces_do() -> None:
    arguments = json.dumps({"text": "x" * 9_000})
    assert hermes("y" * 4_090 + call(arguments)) == Meaning(
        "y" * 4_090, "", (("f", arguments, True),)
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), JSON, max_size=3))
def test_a_call_means_the_same_however_its_arguments_are_serialised(value: dict[str, Any]) -> None:
    ways = [
        json.dumps(value),
        json.dumps(value, ensure_ascii=False, indent=1),
        json.dumps(dict(reversed(value.items())), separators=(",", ":")),
    ]
    assert len({hermes(call(way)) for way in ways}) == 1


# ---------------------------------------------------------------- which turn


def test_the_turn_with_the_longest_prompt_is_taken() -> None:
    first = turn("one", 1)
    second = turn("two", 1, 2, prompt=f"{ASK}one{END}{ASK}")
    for order in itertools.permutations([first, second]):
        store = remembered(*order)
        assert store.splice(f"{ASK}one{END}{ASK}two{END}") == Spliced([1, 2], END)
        assert store.splice(f"{ASK}one{END}{ASK}too{END}") == Spliced([1], f"{END}{ASK}too{END}")


def test_of_several_answers_to_one_prompt_the_one_sent_back_is_taken() -> None:
    store = remembered(turn("one", 1), turn("two", 2), turn("three", 3))
    for answer, token in (("two", 2), ("one", 1), ("three", 3), ("two", 2)):
        assert store.splice(f"{ASK}{answer}{END}") == Spliced([token], END)


def test_the_same_words_go_before_the_same_meaning_and_later_before_earlier() -> None:
    store = remembered(
        turn(call('{"a": 1}'), 1), turn(call('{"a":1}'), 2), turn(call('{"a":1.0}'), 3)
    )
    assert store.splice(ASK + call('{"a": 1}') + END) == Spliced([1], END)
    fresh = remembered(turn(call('{"a": 1}'), 1), turn(call('{"a":1}'), 2))
    assert fresh.splice(ASK + call('{ "a":1 }') + END) == Spliced([2], END)


def test_the_same_turn_is_kept_once_with_its_latest_tokens() -> None:
    store = remembered(turn("one", 1), turn("one", 2))
    assert len(store) == 1
    assert store.n_chars == turn("one").n_chars
    assert store.splice(f"{ASK}one{END}") == Spliced([2], END)


def test_the_least_recently_used_turns_make_room() -> None:
    store = remembered(turn("one", 1), turn("two", 2), max_turns=2)
    store.splice(f"{ASK}one{END}")
    store.remember(turn("three", 3))
    assert rest_of(store, f"two{END}") is None
    assert rest_of(store, f"one{END}") == rest_of(store, f"three{END}") == END


def test_the_texts_together_stay_within_bounds() -> None:
    size = turn("one").n_chars
    store = remembered(turn("one", 1), turn("two", 2), turn("six", 6), max_chars=2 * size + 1)
    assert (len(store), store.n_chars) == (2, 2 * size)
    store.remember(turn("x" * 3 * size, 7))
    assert (len(store), store.n_chars) == (2, 2 * size), "too long to be kept, and pushes none out"


def test_what_is_handed_out_can_be_changed() -> None:
    given_tokens = [1, 2]
    store = remembered(Turn(ASK, given_tokens, "one", END))
    given_tokens.append(3)
    first = store.splice(f"{ASK}one{END}")
    assert first == Spliced([1, 2], END)
    first.tokens.append(4)
    assert store.splice(f"{ASK}one{END}") == Spliced([1, 2], END)


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


def built(store: Turns, text: str) -> list[int]:
    spliced = store.splice(text)
    return tokenize(text) if spliced is None else spliced.tokens + tokenize(spliced.rest)


@given(TALK, st.integers())
def test_each_prompt_begins_with_all_that_was_there_before(
    talk: list[tuple[str, str]], seed: int
) -> None:
    rng, store, text, known = random.Random(seed), Turns(str), "", list[int]()
    for question, answer in talk:
        text += f"[{question}]:"
        prompt = built(store, text)
        assert prompt[: len(known)] == known
        assert spell(prompt) == text
        known = prompt + generated(answer, rng)
        store.remember(Turn(text, known, answer, "$"))
        text += answer + "$"


@given(TALK, st.integers())
def test_a_template_that_trims_answers_keeps_them_too(
    talk: list[tuple[str, str]], seed: int
) -> None:
    rng, store, text, known = random.Random(seed), Turns(plain, ["$"]), "", list[int]()
    for question, answer in talk:
        text += f"[{question}]:"
        prompt = built(store, text)
        assert prompt[: len(known)] == known
        known = prompt + generated(answer, rng)
        store.remember(Turn(text, known, answer, rng.choice(["$", ""]) if answer else "$"))
        text += answer.strip() + "$"


SHORT = st.text("ab$", max_size=5)


@given(st.lists(st.tuples(SHORT, SHORT, st.sampled_from(["$", ""])), max_size=5), SHORT)
def test_what_is_built_always_spells_the_prompt(
    turns: list[tuple[str, str, str]], text: str
) -> None:
    """No splice adds or leaves out a letter, where meaning is no more than the words."""
    store = Turns(str, ["$"])
    for prompt, answer, end in turns:
        store.remember(Turn(prompt, list(map(ord, prompt + answer)), answer, end))
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
    store, known = Turns(hermes, [END]), list[int]()
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
        store.remember(Turn(text, known, answer, END))
        messages += [{"role": "assistant", **sent}, {"role": "user", "content": "And then?"}]


# ---------------------------------------------------------------- records


@given(st.text(), st.text(), st.sampled_from([END, "", "\ud800"]), st.lists(st.integers(0, 9)))
def test_a_record_gives_the_turn_back(
    prompt: str, answer: str, end: str, tokens: list[int]
) -> None:
    kept = Turn(prompt, tokens, answer, end)
    assert from_bytes(to_bytes(kept), tokens) == kept


def test_a_record_holds_lone_surrogates() -> None:
    kept = Turn("a\ud800", [1], "\udfff", "")
    assert from_bytes(to_bytes(kept), [1]) == kept


def test_a_record_fits_no_other_number_of_tokens() -> None:
    record = to_bytes(turn("one", 1, 2))
    assert from_bytes(record, [1]) is None
    assert from_bytes(record, [1, 2, 3]) is None


@given(st.binary(max_size=40))
def test_bytes_that_are_no_record_are_none(data: bytes) -> None:
    assert from_bytes(data, []) is None


RECORD: dict[str, Any] = {"prompt": b"p", "answer": b"a", "end": b"", "n_tokens": 1}


WRONG: list[dict[str, Any]] = [
    {"prompt": b"\xff"},
    {"prompt": "text"},
    {"answer": None},
    {"n_tokens": -1},
    {"n_tokens": True},
    {"n_tokens": 1.5},
    {"more": 1},
]


@pytest.mark.parametrize("wrong", [*WRONG, {"prompt": bytes(MAX_RECORD_BYTES)}])
def test_a_record_with_a_wrong_field_is_none(wrong: dict[str, Any]) -> None:
    assert from_bytes(msgspec.msgpack.encode(RECORD), [1]) is not None
    assert from_bytes(msgspec.msgpack.encode({**RECORD, **wrong}), [1]) is None


def test_a_record_that_was_cut_or_goes_on_or_nests_is_none() -> None:
    record = to_bytes(turn("one", 1))
    assert all(from_bytes(record[:length], [1]) is None for length in range(len(record)))
    assert from_bytes(record + b"\x00", [1]) is None
    assert from_bytes(b"\x91" * 100_000, [1]) is None
