"""Answers that a stop string or a limit cut are found again, also after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.live.server import LiveServer, user
from tests.live.test_prompt_cache import SYSTEM, ask, cached, serve

# So that the answer's tokens are rarely those that its text is tokenised to.
WILD: dict[str, Any] = {"temperature": 1.8, "max_tokens": 20, "ignore_eos": True}
N_ANSWERS = 4


def cut_answers(live: LiveServer) -> list[tuple[list[dict[str, Any]], int]]:
    """Return conversations with cut answers, and the tokens of each that can be found again."""
    conversations = []
    for seed in range(N_ANSWERS):
        messages = [SYSTEM, user(f"What is the capital of country {seed}?")]
        limited = ask(live, messages, seed=seed, **WILD)
        stop = limited["choices"][0]["message"]["content"][20:22]
        for wanted in ({}, {"stop": [stop]}):
            answer = ask(live, messages, seed=seed, **WILD, **wanted)
            assert answer["choices"][0]["finish_reason"] == ("stop" if wanted else "length")
            n_unused = 4 if wanted else 1  # the stop string, and what is tokenised with it
            n_found = answer["usage"]["total_tokens"] - n_unused
            message = answer["choices"][0]["message"]
            conversations.append(([*messages, message, user("And then?")], n_found))
    return conversations


def go_on(live: LiveServer, conversations: list[tuple[list[dict[str, Any]], int]]) -> None:
    """Send each conversation, which finds what it can, and make it one that goes on."""
    for at, (messages, n_found) in enumerate(conversations):
        answer = ask(live, messages)
        assert cached(answer) >= n_found
        more = [answer["choices"][0]["message"], user("Why?")]
        conversations[at] = ([*messages, *more], answer["usage"]["total_tokens"] - 1)


@pytest.mark.parametrize("idle_cache_mb", ["0", "64"])
def test_cut_answers_are_found_again_and_after_a_restart(
    tmp_path: Path, idle_cache_mb: str
) -> None:
    arguments = ("--idle-cache-mb", idle_cache_mb)
    with serve(tmp_path, *arguments) as live:
        live.wait_healthy()
        conversations = cut_answers(live)
        go_on(live, conversations)
        live.stop()
    with serve(tmp_path, *arguments) as live:
        live.wait_healthy()
        go_on(live, conversations)


def test_a_cut_answer_outlives_a_restart_before_it_came_back(tmp_path: Path) -> None:
    with serve(tmp_path) as live:
        live.wait_healthy()
        conversations = cut_answers(live)
        live.stop()
    with serve(tmp_path) as live:
        live.wait_healthy()
        go_on(live, conversations)
