"""Conversations with a model that slides a window find their head, in any order and at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.live.server import LiveServer, user
from tests.live.sliding_model import WINDOW, make_sliding_model

RULES = " ".join(f"Rule {number}: be polite to guest {number}." for number in range(24))
SYSTEM = {"role": "system", "content": RULES}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_sliding_model(folder / "sliding.gguf")
    return folder


@pytest.fixture
def arguments(models: Path, tmp_path: Path) -> list[str]:
    cache = ["--cache-dir", str(tmp_path / "cache"), "--disk-save-after-s", "0"]
    return ["--models-dir", str(models), "--n-ctx", "4096", *cache]


def ask(live: LiveServer, *messages: dict[str, Any]) -> dict[str, Any]:
    body = {"messages": [SYSTEM, *messages], "temperature": 0, "max_tokens": 8}
    response = live.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def cached(answer: dict[str, Any]) -> int:
    n_cached: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return n_cached


def n_head(live: LiveServer) -> int:
    """Return the tokens of the head, which is in the cache afterwards."""
    told = live.http.post("/restore_cache", json={"messages": [SYSTEM]}).json()
    assert told["saved"]
    n_tokens: int = told["prompt_tokens"]
    assert n_tokens > 2 * WINDOW
    return n_tokens


def wait_until_written(live: LiveServer, n_entries: int) -> None:
    def is_written() -> bool:
        disk = live.http.get("/cache").json()["tiers"]["disk"]
        return disk["entries"] >= n_entries and not disk["waiting"]

    live.wait_until(is_written)


@pytest.mark.parametrize("more", [[], ["--parallel", "1"], ["--disk-cache-mb", "0"]])
def test_conversations_in_turn_find_what_they_share(arguments: list[str], more: list[str]) -> None:
    first, other = user("Where are my keys? " * 4), user("Turn on the light. " * 4)
    edited = user("Where are my keys? " * 3 + "And my hat?")
    with LiveServer(*arguments, *more) as live:
        live.wait_healthy()
        answer = ask(live, first)
        ask(live, other)
        said = answer["choices"][0]["message"]
        found = {
            "goes on": cached(ask(live, first, said, user("And now?"))),
            "edited": cached(ask(live, edited)),
            "edited back": cached(ask(live, first)),
            "goes on elsewhere": cached(ask(live, first, said, user("Are you sure?"))),
            "another": cached(ask(live, user("What time is it?"))),
        }
        told = live.http.post("/restore_cache", json={"messages": [SYSTEM]}).json()
        assert told["cached_tokens"] == told["prompt_tokens"], "the head was saved on the way"
        assert min(found.values()) >= told["prompt_tokens"], found


def test_conversations_on_the_disk_do_not_hide_their_head(arguments: list[str]) -> None:
    with LiveServer(*arguments) as live:
        live.wait_healthy()
        for number in range(8):
            ask(live, user(f"Number {number} is what I mean."))
        wait_until_written(live, 9)
        live.kill()
    with LiveServer(*arguments) as live:
        live.wait_healthy()
        answer = ask(live, user("Now for something else."))
        assert answer["timings"]["tier"] == "disk"
        assert cached(answer) >= n_head(live)


def test_all_chats_after_a_restored_prompt_find_it(arguments: list[str]) -> None:
    with LiveServer(*arguments) as live:
        live.wait_healthy()
        n_tokens = n_head(live)
        for text in ("Good morning!", "What is for lunch?", "Good night!"):
            assert cached(ask(live, user(text))) >= n_tokens


def test_an_answer_from_the_cache_is_the_cold_one(arguments: list[str]) -> None:
    def probabilities(live: LiveServer) -> list[tuple[str, float]]:
        body = {"messages": [SYSTEM, user("Who is there?")], "temperature": 0, "max_tokens": 8}
        answer = live.http.post("/v1/chat/completions", json={**body, "logprobs": True}).json()
        told = answer["choices"][0]["logprobs"]["content"]
        return [(each["token"], each["logprob"]) for each in told]

    with LiveServer(*arguments) as live:
        live.wait_healthy()
        cold = probabilities(live)
        for text in ("What is new?", "What is old?"):
            ask(live, user(text))
        for (token, before), (again, after) in zip(cold, probabilities(live), strict=True):
            assert token == again
            assert after == pytest.approx(before, abs=0.05)
