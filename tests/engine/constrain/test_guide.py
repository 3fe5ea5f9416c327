"""What may come next in an answer, and what has to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.engine.constrain import Block, Guide, GuidedTokens, GuidePlan, ThinkingPlan
from tests.engine.constrain.vocabulary import SmallVocabulary, allows

VOCABULARY = SmallVocabulary()
CALL_WITH_TOKENS = (
    '"\\n{\\"name\\": \\"" ("a" | "bc") "\\"}\\n" ' + f"<[{VOCABULARY.tags['</tool_call>']}]>"
)
NO_TAGS = SmallVocabulary(tags=())
CALL = '"\\n{\\"name\\": \\"" ("a" | "bc") "\\"}\\n" "</tool_call>"'


def plan(vocabulary: SmallVocabulary = VOCABULARY, **parts: object) -> GuidePlan:
    free = GuidePlan(piece=vocabulary.piece, tokenize=vocabulary)
    return replace(free, **parts)  # type: ignore[arg-type]


def thinking(*, is_open: bool, budget: int | None = None) -> ThinkingPlan:
    return ThinkingPlan(
        opening=b"<think>",
        closing=b"</think>",
        opening_token=VOCABULARY.tags["<think>"],
        end=(VOCABULARY.tags["</think>"], *VOCABULARY(b"\n\n")),
        gap=tuple(VOCABULARY(b"\n\n")),
        is_open=is_open,
        budget=budget,
    )


def block(vocabulary: SmallVocabulary = VOCABULARY, **parts: Any) -> Block:
    body = CALL
    if vocabulary.tags:
        body = body.replace('"</tool_call>"', f"<[{vocabulary.tags['</tool_call>']}]>")
    return Block(trigger=b"<tool_call>", matcher=vocabulary.matcher(body), **parts)


def take_all(guide: Guide, tokens: Sequence[int]) -> list[int]:
    """Choose these tokens one after the other; return the answer that comes of it."""
    answer: list[int] = []
    for token in tokens:
        mask = guide.mask()
        assert mask is None or allows(mask, token), f"{token} may not follow {answer}"
        answer += guide.take(token).tokens
    return answer


# ---------------------------------------------------------------- the whole answer


def test_what_a_grammar_forces_follows_without_being_chosen() -> None:
    guide = Guide(plan(whole=VOCABULARY.matcher('"{\\"a\\": " ("1" | "2") "}"')))
    assert VOCABULARY.spelled(guide.begin().tokens) == b'{"a": '
    mask = guide.mask()
    assert mask is not None
    assert [token for token in range(256) if allows(mask, token)] == [ord("1"), ord("2")]
    assert guide.take(ord("2")) == GuidedTokens([ord("2"), ord("}")], is_over=True)


def test_an_answer_that_leaves_no_choice_is_over_before_it_begins() -> None:
    begun = Guide(plan(whole=VOCABULARY.matcher('"the end"'))).begin()
    assert (VOCABULARY.spelled(begun.tokens), begun.is_over) == (b"the end", True)


def test_forced_tokens_can_be_left_to_the_model_which_then_has_no_choice() -> None:
    guide = Guide(plan(whole=VOCABULARY.matcher('"the end"'), fast_forward=False))
    assert guide.begin() == GuidedTokens()
    mask = guide.mask()
    assert mask is not None
    assert allows(mask, VOCABULARY(b"the")[0])
    assert not allows(mask, ord("x"))


def test_guesses_are_held_to_the_grammar() -> None:
    guide = Guide(plan(whole=VOCABULARY.matcher("/[a-c]{5}/")))
    assert guide.n_allowed([ord("a"), ord("b"), ord("x"), ord("a")]) == 2
    assert Guide(plan()).n_allowed([1, 2, 3]) == 3


def test_two_answers_to_one_request_go_their_own_ways() -> None:
    shared = plan(whole=VOCABULARY.matcher('("a1" | "b2")'))
    one, other = Guide(shared), Guide(shared)
    assert one.take(ord("a")).tokens == [ord("a"), ord("1")]
    assert other.take(ord("b")).tokens == [ord("b"), ord("2")]


# ---------------------------------------------------------------- calls in a free answer


@pytest.mark.parametrize("vocabulary", [VOCABULARY, NO_TAGS], ids=["tokens", "text"])
def test_an_answer_is_free_until_a_call_begins(vocabulary: SmallVocabulary) -> None:
    guide = Guide(plan(vocabulary, block=block(vocabulary)))
    assert guide.mask() is None
    said = take_all(guide, vocabulary(b"Well, <tool"))
    assert guide.mask() is None
    tag = [vocabulary.tags["<tool_call>"]] if vocabulary.tags else vocabulary(b"_call>")
    begun = take_all(guide, tag)
    assert vocabulary.spelled(begun).endswith(b'>\n{"name": "')
    assert vocabulary.spelled(said) == b"Well, <tool"
    taken = guide.take(ord("b"))
    assert vocabulary.spelled(taken.tokens) == b'bc"}\n</tool_call>'
    assert not taken.is_over
    assert guide.mask() is None, "text may follow, or another call"


def test_a_second_call_is_held_to_its_grammar_too() -> None:
    guide = Guide(plan(block=block()))
    tag = VOCABULARY.tags["<tool_call>"]
    answer = take_all(guide, [tag, ord("a"), ord("\n"), tag, ord("b")])
    assert VOCABULARY.spelled(answer).count(b"</tool_call>") == 2


def test_the_answer_is_over_with_the_only_call_that_is_allowed() -> None:
    guide = Guide(plan(block=block(is_last=True)))
    guide.take(VOCABULARY.tags["<tool_call>"])
    assert guide.take(ord("a")).is_over


def test_of_a_token_that_goes_on_behind_the_tag_as_no_call_may_only_the_tag_is_used() -> None:
    guide = Guide(plan(NO_TAGS, block=block(NO_TAGS)))
    wrong = NO_TAGS.tokens.index(b">{")
    answer = take_all(guide, [*NO_TAGS(b"<tool_call"), wrong])
    assert NO_TAGS.spelled(answer) == b'<tool_call>\n{"name": "'


def test_a_token_that_goes_on_behind_the_tag_as_a_call_does_is_used_whole() -> None:
    guide = Guide(plan(NO_TAGS, block=block(NO_TAGS)))
    right = NO_TAGS.tokens.index(b">\n")
    answer = take_all(guide, [*NO_TAGS(b"<tool_call"), right])
    assert right in answer
    assert NO_TAGS.spelled(answer) == b'<tool_call>\n{"name": "'


def test_a_tag_that_only_counts_at_the_start_is_text_later() -> None:
    at_start = Guide(plan(NO_TAGS, block=block(NO_TAGS, only_at_start=True)))
    take_all(at_start, NO_TAGS(b" <tool_call>"))
    assert at_start.mask() is not None
    later = Guide(plan(NO_TAGS, block=block(NO_TAGS, only_at_start=True)))
    take_all(later, NO_TAGS(b"x <tool_call>"))
    assert later.mask() is None


# ---------------------------------------------------------------- thoughts


def test_thoughts_are_free_and_the_grammar_holds_behind_them() -> None:
    guide = Guide(plan(whole=VOCABULARY.matcher('("yes" | "no")'), thinking=thinking(is_open=True)))
    assert guide.begin() == GuidedTokens()
    take_all(guide, VOCABULARY(b"Hm, <tool_call> </thin"))
    assert guide.mask() is None
    behind = guide.take(VOCABULARY.tags["</think>"])
    assert VOCABULARY.spelled(behind.tokens) == b"</think>\n\n"
    assert VOCABULARY.spelled(guide.take(ord("n")).tokens) == b"no"


def test_a_model_that_may_think_chooses_between_thought_and_answer() -> None:
    whole = VOCABULARY.matcher('("yes" | "no")')
    opening = VOCABULARY.tags["<think>"]
    for first in (opening, ord("y")):
        guide = Guide(plan(whole=whole, thinking=thinking(is_open=False)))
        assert guide.begin() == GuidedTokens()
        mask = guide.mask()
        assert mask is not None
        assert allows(mask, first)
        assert not allows(mask, ord("x"))
        taken = guide.take(first)
        assert taken.is_over == (first != opening)


def test_calls_in_thoughts_are_none_where_the_plan_has_none_for_them() -> None:
    guide = Guide(plan(block=block(), thinking=thinking(is_open=True)))
    call = VOCABULARY.tags["<tool_call>"]
    take_all(guide, [*VOCABULARY(b"I could"), call, ord("x"), VOCABULARY.tags["</think>"]])
    assert guide.mask() is None
    guide.take(call)
    assert guide.mask() is not None


def calling(held: Block, budget: int | None = None) -> ThinkingPlan:
    """Return open thoughts in which calls may begin."""
    return replace(thinking(is_open=True, budget=budget), block=held)


@pytest.mark.parametrize("vocabulary", [VOCABULARY, NO_TAGS], ids=["tokens", "text"])
def test_a_call_that_begins_in_thoughts_ends_them_and_is_held_to_its_grammar(
    vocabulary: SmallVocabulary,
) -> None:
    held = block(vocabulary)
    guide = Guide(plan(vocabulary, block=held, thinking=calling(held)))
    assert guide.begin() == GuidedTokens()
    tag = [vocabulary.tags["<tool_call>"]] if vocabulary.tags else vocabulary(b"<tool_call>")
    begun = take_all(guide, [*vocabulary(b"Look.\n"), *tag])
    assert vocabulary.spelled(begun) == b'Look.\n<tool_call>\n{"name": "'
    assert vocabulary.spelled(guide.take(ord("b")).tokens) == b'bc"}\n</tool_call>'
    assert guide.mask() is None, "text may follow, or another call"
    assert vocabulary.spelled(take_all(guide, tag)) == b'<tool_call>\n{"name": "'


def test_a_tag_that_thoughts_quote_begins_no_call() -> None:
    guide = Guide(plan(NO_TAGS, block=block(NO_TAGS), thinking=calling(block(NO_TAGS))))
    take_all(guide, NO_TAGS(b'I write `<tool_call>` or ("<tool_call>'))
    assert guide.mask() is None
    take_all(guide, NO_TAGS(b'"), and so "Oslo"<tool_call>'))
    assert guide.mask() is not None


def inner(vocabulary: SmallVocabulary = NO_TAGS, **parts: Any) -> Block:
    """Return what begins a call without the tag around it."""
    body = '("a" | "bc") "\\"}\\n" "</tool_call>"'
    return Block(trigger=b'{"name": "', matcher=vocabulary.matcher(body), **parts)


def test_a_call_may_begin_with_any_of_several_texts() -> None:
    held = block(NO_TAGS, also=(inner(),))
    for text in ('Hi. {"name": "', "Hi. <tool_call>"):
        guide = Guide(plan(NO_TAGS, block=held))
        take_all(guide, NO_TAGS(text))
        assert guide.mask() is not None


def test_whitespace_in_what_begins_an_answer_is_passed_over() -> None:
    held = block(NO_TAGS, also=(inner(only_at_start=True),))
    guide = Guide(plan(NO_TAGS, block=held))
    take_all(guide, list(b'\n{ "name": "'))
    assert guide.mask() is not None
    later = Guide(plan(NO_TAGS, block=held))
    take_all(later, NO_TAGS('Hi. {"name": "'))
    assert later.mask() is None


def test_directly_behind_a_call_another_may_begin_without_its_tag() -> None:
    held = block(NO_TAGS, also=(inner(only_behind=True),))
    for between, is_held in (("", True), (",\n", True), (" or ", False)):
        guide = Guide(plan(NO_TAGS, block=held))
        take_all(guide, [*NO_TAGS("<tool_call>"), ord("a")])
        take_all(guide, NO_TAGS(f'{between}{{"name": "'))
        assert (guide.mask() is not None) == is_held
    first = Guide(plan(NO_TAGS, block=held))
    take_all(first, NO_TAGS('{"name": "'))
    assert first.mask() is None


def test_a_quotation_goes_on_where_one_trigger_follows_another() -> None:
    held = block(NO_TAGS, also=(inner(),))
    guide = Guide(plan(NO_TAGS, block=held, thinking=calling(held)))
    take_all(guide, list(b'I write `<tool_call>\n{"name": "x'))
    assert guide.mask() is None
    take_all(guide, list(b'`. So {"name": "'))
    assert guide.mask() is not None


def test_a_call_in_thoughts_may_be_all_that_an_answer_is_allowed() -> None:
    whole = VOCABULARY.matcher(f"<[{VOCABULARY.tags['<tool_call>']}]> {CALL_WITH_TOKENS}")
    held = block(is_last=True)
    guide = Guide(plan(whole=whole, thinking=calling(held)))
    take_all(guide, [*VOCABULARY(b"Look."), VOCABULARY.tags["<tool_call>"]])
    taken = guide.take(ord("a"))
    assert (VOCABULARY.spelled(taken.tokens), taken.is_over) == (b'a"}\n</tool_call>', True)


def test_a_budget_ends_thoughts_in_which_a_call_might_have_begun() -> None:
    guide = Guide(plan(block=block(), thinking=calling(block(), budget=2)))
    assert VOCABULARY.spelled(take_all(guide, VOCABULARY(b"xy"))) == b"xy</think>\n\n"
    assert take_all(guide, [VOCABULARY.tags["<tool_call>"]])
    assert guide.mask() is not None


def test_thoughts_that_the_model_begins_itself_are_noticed() -> None:
    guide = Guide(plan(block=block(), thinking=thinking(is_open=False)))
    tags = VOCABULARY.tags
    take_all(guide, [ord("\n"), tags["<think>"], tags["<tool_call>"], ord("x"), tags["</think>"]])
    assert guide.mask() is None


@pytest.mark.parametrize("budget", [1, 3])
def test_a_budget_ends_the_thoughts(budget: int) -> None:
    guide = Guide(plan(thinking=thinking(is_open=True, budget=budget)))
    answer = take_all(guide, VOCABULARY(b"xyzxyz")[:budget])
    assert VOCABULARY.spelled(answer) == b"xyzxyz"[:budget] + b"</think>\n\n"
    assert guide.take(ord("A")).tokens == [ord("A")]


@pytest.mark.parametrize("is_bound", [True, False])
def test_a_call_that_comes_without_closing_the_thoughts_ends_them(is_bound: bool) -> None:
    tag = VOCABULARY.tags["<tool_call>"]
    ends_too = replace(thinking(is_open=True), also_end=(b"<tool_call>",))
    call = block()
    whole = VOCABULARY.matcher(f"<[{tag}]> {CALL_WITH_TOKENS}") if is_bound else None
    guide = Guide(plan(whole=whole, block=None if is_bound else call, thinking=ends_too))
    guide.begin()
    answer = take_all(guide, [*VOCABULARY(b"So: "), tag])
    assert VOCABULARY.spelled(answer) == b'So: <tool_call>\n{"name": "'
    assert guide.mask() is not None


def test_a_tag_of_several_tokens_that_ends_thoughts_begins_the_answer() -> None:
    ends_too = replace(thinking(is_open=True), also_end=(b"<tool_call>",))
    whole = NO_TAGS.matcher(f'"<tool_call>" {CALL}')
    guide = Guide(plan(NO_TAGS, whole=whole, thinking=ends_too))
    answer = take_all(guide, NO_TAGS(b"So: <tool_call>"))
    assert NO_TAGS.spelled(answer) == b'So: <tool_call>\n{"name": "'
    assert guide.mask() is not None


def test_a_tag_that_ends_thoughts_but_may_not_follow_closes_them() -> None:
    ends_too = replace(thinking(is_open=True), also_end=(b"<tool_call>",))
    guide = Guide(plan(whole=VOCABULARY.matcher('("yes" | "no")'), thinking=ends_too))
    answer = take_all(guide, [ord("x"), VOCABULARY.tags["<tool_call>"]])
    assert VOCABULARY.spelled(answer) == b"x</think>\n\n"


def test_a_budget_waits_for_a_closing_tag_that_has_begun() -> None:
    guide = Guide(plan(thinking=thinking(is_open=True, budget=2)))
    answer = take_all(guide, [*VOCABULARY(b"x</think>")[:9], ord("A")])
    assert VOCABULARY.spelled(answer) == b"x</think>A"


def test_without_a_budget_there_is_no_thought() -> None:
    opened = Guide(plan(thinking=thinking(is_open=True, budget=0)))
    assert VOCABULARY.spelled(opened.begin().tokens) == b"</think>\n\n"
    begun = Guide(plan(thinking=thinking(is_open=False, budget=0)))
    answer = take_all(begun, [VOCABULARY.tags["<think>"]])
    assert VOCABULARY.spelled(answer) == b"<think></think>\n\n"


def test_a_grammar_that_cannot_be_followed_says_why() -> None:
    guide = Guide(plan(whole=VOCABULARY.matcher('"a"')))
    guide.take(ord("x"))
    assert guide.error
    assert "\n" not in guide.error


def test_an_answer_that_has_to_have_a_form_does_not_end_with_the_thoughts() -> None:
    whole = VOCABULARY.matcher('"yes" | "no"')
    guide = Guide(plan(whole=whole, thinking=thinking(is_open=True)))
    guide.take(ord("h"))
    taken = guide.take_end(VOCABULARY.end)
    assert VOCABULARY.spelled(taken.tokens) == b"</think>\n\n"
    mask = guide.mask()
    assert mask is not None
    assert [token for token in range(256) if allows(mask, token)] == [ord("n"), ord("y")]


def test_a_free_answer_may_end_with_the_thoughts() -> None:
    guide = Guide(plan(block=block(), thinking=thinking(is_open=True)))
    guide.take(ord("h"))
    assert guide.take_end(VOCABULARY.end) == GuidedTokens([VOCABULARY.end])


# ---------------------------------------------------------------- thoughts that are ended


@pytest.mark.parametrize("budget", [None, 100])
def test_thoughts_end_when_they_are_told_to(budget: int | None) -> None:
    known = thinking(is_open=True, budget=budget)
    guide = Guide(plan(thinking=known))
    take_all(guide, VOCABULARY(b"Hm"))
    assert guide.end_thoughts() == GuidedTokens(list(known.end))
    assert guide.end_thoughts() == GuidedTokens(), "once is enough"
    assert take_all(guide, VOCABULARY(b"So")) == VOCABULARY(b"So")


def test_what_has_to_follow_thoughts_that_are_ended_follows() -> None:
    known = thinking(is_open=True)
    guide = Guide(plan(thinking=known, whole=VOCABULARY.matcher('"{" ("1" | "2") "}"')))
    take_all(guide, VOCABULARY(b"Hm"))
    assert guide.end_thoughts().tokens == [*known.end, *VOCABULARY(b"{")]


def test_thoughts_that_are_ended_before_they_begin_are_empty() -> None:
    known = thinking(is_open=False)
    guide = Guide(plan(thinking=known))
    assert guide.end_thoughts() == GuidedTokens()
    assert take_all(guide, [known.opening_token or 0]) == [known.opening_token, *known.end]


def test_a_closing_tag_that_has_begun_is_waited_for() -> None:
    known = replace(thinking(is_open=True), end=tuple(NO_TAGS(b"</think>")))
    guide = Guide(plan(NO_TAGS, thinking=known))
    take_all(guide, NO_TAGS(b"Hm</thi"))
    assert guide.end_thoughts() == GuidedTokens()
    assert take_all(guide, NO_TAGS(b"nk>So")) == NO_TAGS(b"nk>So")
    late = Guide(plan(NO_TAGS, thinking=known))
    take_all(late, NO_TAGS(b"Hm</"))
    late.end_thoughts()
    assert take_all(late, NO_TAGS(b"x")) == NO_TAGS(b"x</think>"), "it was none"


def test_where_nobody_thinks_there_is_nothing_to_end() -> None:
    assert Guide(plan()).end_thoughts() == GuidedTokens()
