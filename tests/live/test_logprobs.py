"""A live server says how likely its tokens were, whole and streamed, to the `openai` client too."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest

from tests.live.server import NANO, LiveServer, user

ASK = "What is the capital of France?"


def content(choice: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (choice["logprobs"] or {"content": []})["content"]
    return found


def said(tokens: list[dict[str, Any]]) -> str:
    return bytes(byte for token in tokens for byte in token["bytes"]).decode()


def test_a_greedy_answer_is_made_of_the_likeliest_tokens(server: LiveServer) -> None:
    (choice,) = server.chat(ASK, logprobs=True, top_logprobs=20, max_tokens=20)["choices"]
    tokens = content(choice)
    assert said(tokens) == choice["message"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    for token in tokens:
        top = token["top_logprobs"]
        assert len(top) == 20
        assert {key: token[key] for key in top[0]} == top[0]
        assert [c["logprob"] for c in top] == sorted((c["logprob"] for c in top), reverse=True)
        assert 0.0 < sum(math.exp(chance["logprob"]) for chance in top) <= 1.0 + 1e-5


def test_asking_for_logprobs_changes_no_answer(server: LiveServer) -> None:
    fields: dict[str, Any] = {"max_tokens": 30, "seed": 3, "temperature": 1.0}
    plain = server.chat(ASK, **fields)["choices"][0]
    asked = server.chat(ASK, logprobs=True, **fields)["choices"][0]
    assert plain["logprobs"] is None
    assert asked["message"] == plain["message"]
    assert all(token["top_logprobs"] == [] for token in content(asked))


def test_a_stream_carries_the_same_logprobs_as_the_whole_answer(server: LiveServer) -> None:
    fields: dict[str, Any] = {"logprobs": True, "top_logprobs": 2, "max_tokens": 30}
    whole = content(server.chat(ASK, **fields)["choices"][0])
    choices = [piece["choices"][0] for piece in server.stream(ASK, **fields)]
    streamed = [token for choice in choices for token in content(choice)]
    assert [token["token"] for token in streamed] == [token["token"] for token in whole]
    for mine, other in zip(streamed, whole, strict=True):
        assert mine["logprob"] == pytest.approx(other["logprob"], abs=0.05)
    for choice in choices:
        assert said(content(choice)) == (choice["delta"].get("content") or "")


def test_samplers_do_not_change_how_likely_a_token_is_said_to_be(server: LiveServer) -> None:
    plain = server.chat(ASK, logprobs=True, max_tokens=1)["choices"][0]
    fields: dict[str, Any] = {"temperature": 0.01, "top_k": 1, "seed": 1}
    sharp = server.chat(ASK, logprobs=True, max_tokens=1, **fields)["choices"][0]
    assert content(sharp)[0]["logprob"] == pytest.approx(content(plain)[0]["logprob"], abs=0.05)


def test_of_a_stop_string_nothing_is_told(server: LiveServer) -> None:
    whole = server.chat(ASK, max_tokens=30)["choices"][0]["message"]["content"]
    fields: dict[str, Any] = {"logprobs": True, "max_tokens": 30, "stop": [whole[8:12]]}
    (choice,) = server.chat(ASK, **fields)["choices"]
    shown = choice["message"]["content"]
    assert shown == whole[: whole.index(whole[8:12])]
    assert said(content(choice)).startswith(shown)
    assert len(said(content(choice))) < len(shown) + 12, "at most the token that was cut"


def test_each_of_several_answers_has_its_own(server: LiveServer) -> None:
    fields: dict[str, Any] = {"n": 3, "seed": 5, "temperature": 2.0, "max_tokens": 12}
    choices = server.chat(ASK, logprobs=True, top_logprobs=1, **fields)["choices"]
    for choice in choices:
        assert said(content(choice)).startswith(choice["message"]["content"][:3])
        assert content(choice)
    found: dict[int, list[dict[str, Any]]] = {0: [], 1: [], 2: []}
    for piece in server.stream(ASK, logprobs=True, **fields):
        for choice in piece["choices"]:
            found[choice["index"]] += content(choice)
    for choice in choices:
        expected = [token["token"] for token in content(choice)]
        assert [token["token"] for token in found[choice["index"]]] == expected


def test_the_openai_client_reads_them_whole_and_streamed(server: LiveServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        create: Any = client.chat.completions.create
        fields: dict[str, Any] = {
            "model": NANO,
            "messages": [user(ASK)],
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 3,
        }
        (choice,) = create(**fields).choices
        tokens = choice.logprobs.content
        assert "".join(token.token for token in tokens) == choice.message.content
        assert all(token.top_logprobs[0].token == token.token for token in tokens)
        streamed = [
            token.token
            for chunk in create(**fields, stream=True)
            for found in chunk.choices
            for token in (found.logprobs.content if found.logprobs else ())
        ]
        assert streamed == [token.token for token in tokens]
