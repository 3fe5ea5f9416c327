"""Owns the scenarios that count: which tokens are prefilled again, ours and llama-server's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from scripts.benchmark.prompt_cache import targets
from scripts.benchmark.prompt_cache.bench import TOOL_NAMES, Bench, Texts
from scripts.benchmark.prompt_cache.rows import Row
from scripts.benchmark.prompt_cache.talk import Asked, Talker

# Longer than a block, so that an answer that is not found again shows.
_SELDOM = [digit * 3 for digit in "0123456789"]
_ENDS: dict[str, dict[str, Any]] = {
    "after max_tokens": {"max_tokens": 60, "ignore_eos": True},
    "after a stop string": {"max_tokens": 200, "ignore_eos": True, "stop": _SELDOM},
}
Figures = dict[str, tuple[Asked, float]]  # by the row's name: the request, a cold one's time


def turns(bench: Bench, shape: str) -> list[Row]:
    """Second and third turns, a new conversation, edits and a regenerated answer."""
    return _missed(bench, shape, _turns)


def _turns(talker: Talker, texts: Texts) -> Figures:
    talk, other = texts.talk(talker), texts.talk(talker)
    cold = talk.say("Which lamps are on?").ttft_ms
    figures: Figures = {"second turn": (talk.say("And in the hall?"), cold)}
    other.say("What is the time?")
    texts.talk(talker).say("Good morning")
    figures["third turn, after others"] = (talk.say("Turn them all off now."), cold)
    fresh = texts.talk(talker, talk.system)
    figures["new conversation, same head"] = (fresh.say("Is it going to rain?"), cold)
    original = "Close the blinds at noon."
    talk.say(original)
    figures["last message edited"] = (talk.edit("No, play some music."), cold)
    figures["edited back"] = (talk.edit(original), cold)
    figures["regenerate"] = (talk.edit(original), cold)
    return figures


def cut(bench: Bench, shape: str) -> list[Row]:
    """Turns after answers that a limit or a stop string ended."""
    return _missed(bench, shape, _cut)


def _cut(talker: Talker, texts: Texts) -> Figures:
    figures: Figures = {}
    for name, options in _ENDS.items():
        talk = texts.talk(talker)
        cold = talk.say("Which lamps are on?", **options).ttft_ms
        figures[name] = (talk.say("And in the hall?"), cold)
    return figures


def two(bench: Bench, shape: str) -> list[Row]:
    """Two conversations in turn."""
    return _missed(bench, shape, lambda talker, texts: _in_turn(talker, texts, 2))


def eight(bench: Bench, shape: str) -> list[Row]:
    """Eight conversations in turn."""
    return _missed(bench, shape, lambda talker, texts: _in_turn(talker, texts, 8))


def _in_turn(talker: Talker, texts: Texts, n_talks: int) -> Figures:
    """Return the worst request of the second and third rounds."""
    figures: Figures = {}
    for name, is_same in (("same head", True), ("other heads", False)):
        system = texts.text(600) if is_same else None
        talks = [texts.talk(talker, system) for _ in range(n_talks)]
        cold = [talk.say(f"I am number {number}.") for number, talk in enumerate(talks)]
        later = [talk.say(f"This is round {turn}.") for turn in (2, 3) for talk in talks]
        worst = max(later, key=lambda asked: (asked.n_missed, asked.ttft_ms))
        figures[f"{n_talks} in turn, {name}"] = (worst, cold[0].ttft_ms)
    return figures


def tools(bench: Bench, shape: str) -> list[Row]:
    """Ten requests with tool calls after a first turn: tokens that are prefilled."""
    played = bench.each(bench.model(shape), _ten_requests)
    sums = [sum(asked.n_again for asked in requests) for requests in played]
    n_new = sum(asked.n_new for asked in played[0])
    peer = float(sums[1]) if len(sums) > 1 else None
    details = f"{n_new} of them new; " + " ; ".join(" ".join(map(str, each)) for each in played)
    bounds = targets.again(shape, n_new, peer)
    return [Row(shape, "10 requests with tool calls", "tokens", sums[0], peer, bounds, details)]


def _ten_requests(talker: Talker, texts: Texts) -> list[Asked]:
    talk = texts.talk(talker)
    talk.say("Hello")
    asked: list[Asked] = []
    for number in range(5):
        text, result = f"Set it to {number}.", f"It was {number + 1}."
        asked += talk.call(text, TOOL_NAMES[number], {"value": number}, result)
    return asked


def parallel(bench: Bench, shape: str) -> list[Row]:
    """Four clients that begin under the same new head at the same moment."""
    played = bench.each(bench.model(shape), _four_clients)
    sums = [sum(asked.n_again for asked in requests) for requests in played]
    n_new = sum(asked.n_new for asked in played[0])
    peer = float(sums[1]) if len(sums) > 1 else None
    details = " ; ".join(" ".join(map(str, each)) for each in played)
    bounds = [targets.shared(n_new)]
    return [Row(shape, "4 clients, same new head", "tokens", sums[0], peer, bounds, details)]


def _four_clients(talker: Talker, texts: Texts) -> list[Asked]:
    system = texts.text(600)
    users = [{"role": "user", "content": f"I am number {number}."} for number in range(4)]
    talks = [[{"role": "system", "content": system}, user] for user in users]
    return talker.ask_at_once(talks)


def _missed(bench: Bench, shape: str, play: Callable[[Talker, Texts], Figures]) -> list[Row]:
    played = bench.each(bench.model(shape), play)
    ours, peers = played[0], played[1] if len(played) > 1 else {}
    pairs = zip_longest(ours.items(), peers.values())
    return [
        _missed_row(shape, name, [mine, *([theirs] if theirs else [])])
        for (name, mine), theirs in pairs
    ]


def _missed_row(shape: str, name: str, sides: Sequence[tuple[Asked, float]]) -> Row:
    shown = [f"{asked} {asked.ttft_ms / cold:.2f}" for asked, cold in sides]
    missed = [asked.n_missed for asked, _ in sides]
    bounds = [targets.MISSED]
    peer = float(missed[1]) if len(missed) > 1 else None
    return Row(shape, name, "missed", missed[0], peer, bounds, " ; ".join(shown))
