"""llama.cpp's samplers do to a real answer what they are for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.server import NANO, LiveServer

STORY = "Tell me a story."
FREE: dict[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_tokens": 40, "seed": 7}


def said(server: LiveServer, **fields: Any) -> str:
    text: str = server.chat(STORY, **fields)["choices"][0]["message"]["content"]
    return text


def test_greedy_answers_stay_as_they_are(server: LiveServer) -> None:
    plain = said(server, max_tokens=40)
    off: dict[str, Any] = {"xtc_probability": 1.0, "dynatemp_range": 1.0, "top_n_sigma": 1.0}
    assert said(server, max_tokens=40, **off, mirostat=2) == plain


def test_ignore_eos_goes_on_to_the_last_token(server: LiveServer) -> None:
    ended = server.chat("Hello!")
    assert ended["choices"][0]["finish_reason"] == "stop"
    n_tokens = ended["usage"]["completion_tokens"] + 20
    longer = server.chat("Hello!", ignore_eos=True, max_tokens=n_tokens)
    assert longer["choices"][0]["finish_reason"] == "length"
    assert longer["usage"]["completion_tokens"] == n_tokens


def test_dry_ends_repetition(server: LiveServer) -> None:
    fields: dict[str, Any] = {"ignore_eos": True, "max_tokens": 200}
    plain = said(server, **fields)
    dry = said(server, **fields, dry_multiplier=5.0, dry_penalty_last_n=400)
    assert dry != plain
    assert longest_repeat(dry) < longest_repeat(plain)


def longest_repeat(text: str) -> int:
    """Return the length of the longest passage that comes twice."""
    for length in range(len(text) - 1, 0, -1):
        seen = {text[at : at + length] for at in range(len(text) - length + 1)}
        if len(seen) <= len(text) - length:
            return length
    return 0


def test_xtc_leaves_out_the_likeliest_token(server: LiveServer) -> None:
    fields: dict[str, Any] = {**FREE, "temperature": 0.05, "max_tokens": 24, "logprobs": True}
    fields |= {"top_logprobs": 2}
    cut = server.chat(STORY, xtc_probability=1.0, xtc_threshold=0.02, **fields)["choices"][0]
    tokens = cut["logprobs"]["content"]
    assert any(token["token"] != token["top_logprobs"][0]["token"] for token in tokens)
    plain = server.chat(STORY, **fields)["choices"][0]["logprobs"]["content"]
    assert plain[0]["token"] == plain[0]["top_logprobs"][0]["token"]


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_is_nearer_to_its_entropy_than_a_free_draw(
    server: LiveServer, version: int
) -> None:
    fields: dict[str, Any] = {**FREE, "temperature": 3.0, "logprobs": True, "ignore_eos": True}

    def surprise(**more: Any) -> float:
        tokens = server.chat(STORY, **fields, **more)["choices"][0]["logprobs"]["content"]
        return -sum(float(token["logprob"]) for token in tokens) / len(tokens)

    assert surprise(mirostat=version, mirostat_tau=1.0) < surprise() / 2


def test_top_n_sigma_and_dynamic_temperature_change_a_draw(server: LiveServer) -> None:
    plain = said(server, temperature=2.0, **FREE)
    assert said(server, temperature=2.0, **FREE, top_n_sigma=0.5) != plain
    assert said(server, temperature=2.0, **FREE, dynatemp_range=1.9) != plain


@pytest.mark.parametrize(
    "fields",
    [
        {"mirostat": 1, "mirostat_tau": 0, "mirostat_eta": 1},
        {"mirostat": 1, "mirostat_tau": 100, "mirostat_eta": 1},
        {"mirostat": 2, "mirostat_tau": 0, "mirostat_eta": 1},
        {"mirostat": 2, "mirostat_tau": 100, "temperature": 100},
        {"xtc_probability": 1, "xtc_threshold": 0},
        {"dry_multiplier": 100, "dry_base": 100, "dry_allowed_length": 0},
        {
            "dry_multiplier": 1,
            "dry_penalty_last_n": 1_000_000,
            "dry_sequence_breakers": ["🦙" * 20],
        },
        {"dry_multiplier": 1, "dry_penalty_last_n": 1},
        {"dynatemp_range": 100, "dynatemp_exponent": 100},
        {"dynatemp_range": 100, "dynatemp_exponent": 0},
        {"top_n_sigma": 1e-30, "ignore_eos": True},
    ],
    ids=str,
)
def test_the_ends_of_what_is_allowed_harm_nobody(
    server: LiveServer, fields: dict[str, Any]
) -> None:
    answer = server.chat(STORY, **{**FREE, "temperature": 1.0, **fields})
    assert answer["usage"]["completion_tokens"]


def test_defaults_come_from_the_settings() -> None:
    breakers = '["\\n"]'
    options = ("--ignore-eos", "--mirostat", "2", "--dry-sequence-breakers", breakers)
    with LiveServer("--model-name", NANO, *options) as server:
        server.wait_healthy()
        answer = server.chat("Hello!", max_tokens=60)
        assert answer["choices"][0]["finish_reason"] == "length"
