"""What was generated stands for itself in later prompts, and nothing else ever does."""

from __future__ import annotations

import itertools

import pytest

from app.chat.parsing.stream_parser import ReasoningPiece, StreamEvent, TextPiece
from app.engine.prompt.generated_turns import (
    GeneratedTurn,
    GeneratedTurns,
    Meaning,
    Spliced,
    meaning_of,
)
from tests.engine.prompt.turn_makers import (
    ASK,
    END,
    call,
    plain,
    remembered,
    rest_of,
    turn,
)

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


def test_space_counts_where_an_answer_goes_on_inside_a_word_or_after_it() -> None:
    store = GeneratedTurns(plain, [END])
    store.remember(GeneratedTurn(f"{ASK}No", [1], " thing is.", END))
    assert store.splice(f"{ASK}No  thing is.{END}") == Spliced([1], END)
    assert store.splice(f"{ASK}Nothing is.{END}") is None


# ---------------------------------------------------------------- the same meaning


@pytest.mark.parametrize(
    ("generated", "sent"),
    [
        (" Paris.\n", "Paris."),
        ("Paris.", " Paris. "),
        (call('{"a":1}'), call('{"a": 1}')),
        (call('{"a": 1, "b": [1.0, 2]}'), call('{"b": [1, 2.0], "a": 1}')),
        (call('{"a": "\\u00fc\\ud83e\\udd99"}'), call('{"a": "ü🦙"}')),
        (call(r'{"a": "\ud83d"}'), call('{"a": "\N{REPLACEMENT CHARACTER}"}')),
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

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        thought, tag, said = self._held.partition("</think>")
        return (
            [ReasoningPiece(thought.removeprefix("<think>")), TextPiece(said)]
            if tag
            else [TextPiece(thought)]
        )


def thinking(text: str) -> Meaning:
    return meaning_of(text, ThinkParser())


def test_text_far_longer_than_the_answer_is_not_parsed() -> None:
    parsed: list[str] = []
    store = remembered(turn("Paris.", 1), meaning=parsed.append)
    assert store.splice(ASK + "Paris " * 10_000 + END) is None
    assert parsed == []


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
    assert store.n_bytes == turn("one", 1).n_bytes
    assert store.splice(f"{ASK}one{END}") == Spliced([2], END)


def test_the_least_recently_used_turns_make_room() -> None:
    store = remembered(turn("one", 1), turn("two", 2), max_turns=2)
    store.splice(f"{ASK}one{END}")
    store.remember(turn("three", 3))
    assert rest_of(store, f"two{END}") is None
    assert rest_of(store, f"one{END}") == rest_of(store, f"three{END}") == END


def test_all_turns_together_stay_within_their_bytes() -> None:
    size = turn("one", 1).n_bytes
    store = remembered(turn("one", 1), turn("two", 2), turn("six", 6), max_bytes=2 * size + 1)
    assert (len(store), store.n_bytes) == (2, 2 * size)
    store.remember(turn("x" * 3 * size, 7))
    assert (len(store), store.n_bytes) == (2, 2 * size), "too long to be kept, and pushes none out"
    store.clear()
    assert store.n_bytes == 0


def test_wide_characters_and_tokens_count_as_the_memory_that_they_take() -> None:
    narrow, wide = "a" * 1000, "\N{GRINNING FACE}" * 1000
    assert turn(wide, 1).n_bytes >= turn(narrow, 1).n_bytes + 3000
    assert turn(narrow, *range(500)).n_bytes >= turn(narrow).n_bytes + 2000


def test_what_is_handed_out_can_be_changed() -> None:
    given_tokens = [1, 2]
    store = remembered(GeneratedTurn(ASK, given_tokens, "one", END))
    given_tokens.append(3)
    first = store.splice(f"{ASK}one{END}")
    assert first == Spliced([1, 2], END)
    first.tokens.append(4)
    assert store.splice(f"{ASK}one{END}") == Spliced([1, 2], END)
