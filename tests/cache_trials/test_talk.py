"""Conversations of the trials: the same seed gives the same, and clients may write calls anew."""

from __future__ import annotations

import json
import random

from scripts.cache_trials.talk import Talk, called, make_head, rewritten, without_words


def test_a_seed_gives_the_same_head_and_another_one_gives_another() -> None:
    first = make_head(random.Random("1/memory/0"), 80, 2)
    assert first == make_head(random.Random("1/memory/0"), 80, 2)
    assert first != make_head(random.Random("1/memory/1"), 80, 2)
    names = [tool["function"]["name"] for tool in first.tools]
    assert len(set(names)) == 2


def test_a_branch_keeps_the_first_messages_and_leaves_the_others_alone() -> None:
    talk = Talk(make_head(random.Random(1), 10)).say("one")
    branch = talk.copy(1).say("two")
    assert [message["content"] for message in branch.turns] == ["one", "two"]
    assert len(talk.turns) == 1


def test_each_call_is_answered_and_may_be_written_in_another_way() -> None:
    dice = random.Random(1)
    talk = Talk(make_head(dice, 10, 1))
    call = called(dice, talk.head, 7)
    talk.take(call, rewrite=True)
    assert [message["role"] for message in talk.turns] == ["assistant", "tool"]
    assert talk.turns[1]["tool_call_id"] == talk.turns[0]["tool_calls"][0]["id"]
    assert talk.turns[0] == rewritten(call) != call
    assert talk.plain[0] == call
    texts = [each["tool_calls"][0]["function"]["arguments"] for each in (talk.turns[0], call)]
    assert json.loads(texts[0]) == json.loads(texts[1])


def test_a_call_that_was_cut_is_left_out() -> None:
    cut = {"id": "a", "function": {"name": "f", "arguments": '{"a": '}}
    talk = Talk(make_head(random.Random(1), 10))
    talk.take({"role": "assistant", "content": None, "tool_calls": [cut]})
    assert talk.turns == [{"role": "assistant", "content": ""}]


def test_a_thought_is_given_to_this_branch_only() -> None:
    talk = Talk(make_head(random.Random(1), 10)).say("hi")
    talk.take({"role": "assistant", "content": "7"})
    branch = talk.copy().think("so it is")
    assert branch.turns[-1]["reasoning_content"] == "so it is"
    assert "reasoning_content" not in talk.turns[-1]


def test_words_are_taken_out_of_the_middle_of_the_first_message() -> None:
    messages = [
        {"role": "system", "content": "a b c d e f"},
        {"role": "user", "content": "x y"},
    ]
    less = without_words(messages, 2)
    assert [message["content"] for message in less] == ["a b c f", "x y"]
