"""Owns the kinds of cases: what clients do to a cache, each a script with random parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.cache_trials.case import Case
from scripts.cache_trials.talk import Talk, called

# Settings of the warm server that differ from those of `trials`, by name.
CONFIGURATIONS: dict[str, dict[str, int]] = {
    "usual": {"parallel": 4},
    "disk": {"parallel": 1, "idle_cache_mb": 0},
    "small": {"parallel": 2, "idle_cache_mb": 1, "disk_cache_mb": 2},
}
# What a walk does, and how often.
_DEEDS = {"on": 4, "edit": 3, "head": 2, "new": 2, "cancel": 2, "again": 2, "restart": 1}


@dataclass(frozen=True)
class Kind:
    """A kind of case.

    Attributes:
        text: what is done, for people.
        run: does it.
        configuration: one of `CONFIGURATIONS`.
    """

    text: str
    run: Callable[[Case], None]
    configuration: str = "usual"


def _memory(case: Case) -> None:
    first = case.talk()
    case.say(first, "first turn")
    case.say(first, "second turn")
    other = Talk(first.head)
    case.say(other, "another conversation, same head")
    case.say(first, "third turn, after another conversation")
    case.say(other, "second turn of the other")
    case.say(case.talk(), "another head")
    case.say(first, "fourth turn, after another head")


def _disk(case: Case) -> None:
    first = case.talk()
    case.say(first, "first turn")
    case.say(first, "second turn")
    case.warm.wait_for_disk()
    case.say(case.talk(), "another head")
    case.say(Talk(first.head), "same head, from disk", expects="head")
    case.say(first, "third turn, from disk", expects="head")


def _restart(case: Case) -> None:
    first = case.talk()
    kill = case.dice.random() < 0.5
    case.say(first, "first turn")
    if case.dice.random() < 0.5:
        case.say(first, "second turn")
    if case.dice.random() < 0.3:
        case.say(case.talk(), "another head")
    if kill:
        case.warm.wait_for_disk()
    case.warm.restart(kill=kill)
    word = "SIGKILL" if kill else "SIGTERM"
    talks = [(first, "next turn"), (Talk(first.head), "same head")]
    case.dice.shuffle(talks)
    for talk, step in talks:
        expects = "turn" if talk is first and not kill else "head"
        case.say(talk, f"{step} after {word}", expects=expects)


def _branches(case: Case) -> None:
    talk = case.talk()
    case.say(talk, "first turn")
    before = talk.copy()
    case.say(talk, "second turn")
    edited = before.copy().say(case.question())
    case.answer(edited, "last message edited", expects="head")
    case.answer(talk.copy(3), "edited back", expects="head")
    case.answer(talk.copy(3), "regenerated")
    case.say(talk, "third turn, of the first version", expects="head")
    case.say(edited, "third turn, of the edited version", expects="head")
    case.answer(talk.copy(1), "back to the first message", expects="head")


def _cancelled(case: Case) -> None:
    talk = case.talk().say(case.words(100, 300))
    n_known = case.cancel(talk.copy(), case.dice.uniform(0.1, 0.9))
    if case.dice.random() < 0.3:
        n_known = max(n_known, case.cancel(talk.copy(), case.dice.uniform(0.3, 1.0)))
    if case.dice.random() < 0.3:
        case.say(case.talk(), "another head")
    case.answer(talk, "asked again", expects="", n_known=n_known)
    talk.say(case.words(50, 200))
    n_known = case.cancel(talk.copy(), case.dice.uniform(0.5, 1.0))
    case.answer(talk, "next turn, cancelled and asked again", expects="head", n_known=n_known)


def _crash(case: Case) -> None:
    talk = case.talk()
    case.say(talk, "first turn")
    case.warm.wait_for_disk()
    case.crash(talk.say(case.words(50, 200)), "the engine dies")
    case.say(talk, "next turn, in another engine", expects="head")
    case.say(Talk(talk.head), "same head, in another engine", expects="head")


def _tools(case: Case) -> None:
    talk = case.talk(case.dice.randint(1, 4))
    case.answer(talk.say(case.question()), "a required call", tool_choice="required")
    if talk.turns[-1]["role"] == "tool":
        case.answer(talk, "its result")
    talk.say(case.question())
    for number in range(case.dice.randint(1, 2)):
        talk.take(called(case.dice, talk.head, number))
    case.answer(talk, "after calls of a history", expects="head")
    case.say(talk, "next turn")
    case.say(Talk(talk.head), "same tools, new conversation", expects="head")


def _thoughts(case: Case) -> None:
    talk = case.talk(1)
    talk.say(case.question())
    for number in range(case.dice.randint(0, 2)):
        call = called(case.dice, talk.head, number)
        talk.take(call | {"reasoning_content": case.words(5, 40)})
        case.answer(talk.copy(), f"after call {number} and its thought", expects="head")
    case.answer(talk, "the answer", expects="head")
    talk.think(case.words(5, 40))
    case.say(talk, "next turn, thoughts dropped", expects="head")
    case.say(talk, "the turn after that", expects="head")
    case.answer(talk.copy(len(talk.turns) - 1), "regenerated")


def _parallel(case: Case) -> None:
    first = case.talk()
    is_same = case.dice.random() < 0.5
    talks = [Talk(first.head) if is_same else case.talk() for _ in range(case.dice.randint(2, 3))]
    heads = "one new head" if is_same else "heads of their own"
    case.answers([talk.say(case.question()) for talk in talks], f"at once, {heads}")
    if is_same:
        case.expect_shared(first.head, len(talks))
    case.answers([talk.say(case.question()) for talk in talks], "at once, next turns")
    branches = [talk.copy().say(case.question()) for talk in talks[:2]]
    case.answers(branches, "at once, third turns")


def _cut(case: Case) -> None:
    talk = case.talk()
    whole = case.answer(talk.copy().say(case.question()), "whole", ignore_eos=True, max_tokens=12)
    talk.say(case.question())
    if case.dice.random() < 0.5:
        case.answer(talk, "cut by max_tokens", max_tokens=case.dice.randint(1, 5), ignore_eos=True)
    else:
        text = str(whole.message.get("content") or "") or "7"
        stop = case.dice.choice(text)
        case.answer(talk, "cut by a stop string", stop=[stop], max_tokens=14)
    case.say(talk, "next turn")
    case.say(talk, "the turn after that")
    case.say(Talk(talk.head), "same head", expects="head")


def _several(case: Case) -> None:
    talk = case.talk()
    case.say(talk, "several answers", n=case.dice.randint(2, 3))
    case.say(talk, "next turn")
    case.say(talk, "several answers to a later turn", n=2)
    case.say(talk, "the turn after that")


def _evictions(case: Case) -> None:
    talks = [case.talk() for _ in range(4)]
    for talk in talks:
        case.say(talk, "first turn", expects="")
    for talk in case.dice.sample(talks, 3):
        case.say(talk, "next turn, after others", expects="")
    case.say(case.dice.choice(talks), "a later turn", expects="")


def _switch(case: Case) -> None:
    talk = case.talk()
    name = case.warm.model.name
    case.say(talk, "first turn", model=name)
    case.switch()
    case.say(talk, "back from another model", expects="head", model=name)
    case.say(Talk(talk.head), "same head", expects="head")


def _walk(case: Case, expects: str = "head") -> None:
    """Do what may come: conversations that go on, part, are cut, dropped and cancelled."""
    talks = [case.talk(case.dice.choice((0, 0, 2)))]
    for number in range(case.dice.randint(5, 8)):
        talk = case.dice.choice(talks)
        (deed,) = case.dice.choices(list(_DEEDS), list(_DEEDS.values()))
        if deed == "head":
            talk = Talk(talk.head)
            talks.append(talk)
        elif deed == "new":
            talk = case.talk()
            talks.append(talk)
        elif deed == "edit" and talk.turns:
            talk = talk.copy(2 * case.dice.randrange(max(1, len(talk.turns) // 2)))
            talks.append(talk)
        elif deed == "cancel":
            case.cancel(talk.copy().say(case.words(40, 200)), case.dice.random())
        elif deed == "again" and len(talk.turns) > 1:
            case.answer(talk.copy(len(talk.turns) - 1), f"{number}: again", expects=expects)
            continue
        elif deed == "restart":
            case.warm.wait_for_disk()
            case.warm.restart(kill=case.dice.random() < 0.5)
        limit = {"max_tokens": case.dice.randint(1, 10)} if case.dice.random() < 0.3 else {}
        case.say(talk, f"{number}: {deed}", expects=expects, **limit)


def _squeezed(case: Case) -> None:
    _walk(case, expects="")


KINDS = {
    "memory": Kind("conversations in turn, in memory", _memory),
    "disk": Kind("the same, from disk", _disk, "disk"),
    "restart": Kind("SIGKILL and SIGTERM between turns", _restart),
    "branches": Kind("messages edited, edited back, answers regenerated", _branches),
    "cancelled": Kind("prefills that were cancelled, asked again", _cancelled),
    "crash": Kind("the engine killed at some time of an answer", _crash),
    "tools": Kind("tools, calls and results", _tools),
    "thoughts": Kind("thoughts that the history drops", _thoughts),
    "parallel": Kind("clients at once, same head and others", _parallel),
    "cut": Kind("answers cut by max_tokens or a stop string", _cut),
    "several": Kind("several answers to a prompt", _several),
    "evictions": Kind("more conversations than the cache holds", _evictions, "small"),
    "switch": Kind("another model in between", _switch),
    "walk": Kind("any of these in any order", _walk),
    "squeezed": Kind("the same with a cache that holds little", _squeezed, "small"),
}
