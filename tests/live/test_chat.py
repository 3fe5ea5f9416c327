"""A chat request is answered by a real model, whole and streamed."""

from __future__ import annotations

import re

from tests.live.server import NANO, LiveServer, text_of, user


def test_a_whole_answer_has_every_field_of_the_openai_shape(server: LiveServer) -> None:
    answer = server.chat("Hello!", max_tokens=12)
    assert re.fullmatch(r"chatcmpl-[0-9a-f]+", answer["id"])
    assert answer["object"] == "chat.completion"
    assert answer["created"] > 1_700_000_000
    assert answer["model"] == NANO
    assert re.fullmatch(r"fp_.+_[0-9a-f]{12}", answer["system_fingerprint"])
    (choice,) = answer["choices"]
    assert choice["index"] == 0
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_stream_carries_the_same_text_as_the_whole_answer(server: LiveServer) -> None:
    whole = server.chat("Tell me a story.", max_tokens=60)
    streamed = text_of(server.stream("Tell me a story.", max_tokens=60))
    assert streamed == whole["choices"][0]["message"]["content"]


def test_a_stream_opens_with_the_role_and_ends_with_the_reason(server: LiveServer) -> None:
    pieces = list(server.stream("Hello!", max_tokens=3))
    assert pieces[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert pieces[-1]["choices"][0]["finish_reason"] == "length"
    assert {piece["object"] for piece in pieces} == {"chat.completion.chunk"}
    assert len({piece["id"] for piece in pieces}) == 1


def test_usage_is_streamed_when_asked_for(server: LiveServer) -> None:
    pieces = list(server.stream("Hello!", max_tokens=3, stream_options={"include_usage": True}))
    assert pieces[-1]["choices"] == []
    assert pieces[-1]["usage"]["completion_tokens"] == 3
    assert all("usage" not in piece for piece in pieces[:-1])


def test_max_tokens_limits_the_answer(server: LiveServer) -> None:
    answer = server.chat("Tell me a story.", max_tokens=5)
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_max_completion_tokens_is_the_newer_name(server: LiveServer) -> None:
    answer = server.chat("Tell me a story.", max_completion_tokens=4)
    assert answer["usage"]["completion_tokens"] == 4


def test_an_answer_stops_before_a_stop_string(server: LiveServer) -> None:
    whole = server.chat("Tell me a story.", max_tokens=60)["choices"][0]["message"]["content"]
    stop = whole[10:16]
    cut = server.chat("Tell me a story.", max_tokens=60, stop=[stop])["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert cut["message"]["content"] == whole[: whole.index(stop)]


def test_the_same_seed_draws_the_same_answer_cold_and_cached(own_server: LiveServer) -> None:
    server = own_server
    options = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_tokens": 24}
    first = server.chat("Tell me a story.", seed=7, **options)
    second = server.chat("Tell me a story.", seed=7, **options)
    other = server.chat("Tell me a story.", seed=8, **options)
    assert first["choices"] == second["choices"]
    assert first["choices"] != other["choices"]


def test_logit_bias_can_ban_a_token(server: LiveServer) -> None:
    free = server.chat("Hello!", max_tokens=1)["choices"][0]["message"]["content"]
    (token,) = server.http.post("/tokenize", json={"content": free}).json()["tokens"]
    banned = server.chat("Hello!", max_tokens=1, logit_bias={str(token): -100})
    assert banned["choices"][0]["message"]["content"] != free


def test_a_second_turn_finds_the_first_one_in_the_cache(server: LiveServer) -> None:
    system = {"role": "system", "content": "You answer in short sentences. " * 10}
    first = [system, user("What is the capital of France?")]
    body = {"messages": first, "temperature": 0, "max_tokens": 20}
    answer = server.http.post("/chat/completions", json=body).json()
    body["messages"] = [*first, answer["choices"][0]["message"], user("And of Spain?")]
    usage = server.http.post("/chat/completions", json=body).json()["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached >= answer["usage"]["prompt_tokens"]


def test_cached_answers_equal_cold_ones(own_server: LiveServer) -> None:
    wish = "Please take your time and use simple words. "
    questions = [wish + x for x in ("Tell me a story.", "Tell me a joke.", "Where is Paris?")]
    cold = [own_server.chat(question, max_tokens=40)["choices"] for question in questions]
    warm = [own_server.chat(question, max_tokens=40) for question in reversed(questions)]
    assert [answer["choices"] for answer in reversed(warm)] == cold
    assert all(answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in warm)


def test_the_log_has_one_line_for_a_request_and_no_text(server: LiveServer) -> None:
    secret = "xylophone-4711"
    headers = {"X-Request-ID": "test-log-line"}
    body = {"messages": [user(secret)], "max_tokens": 3, "stream": True}
    response = server.http.post("/v1/chat/completions", json=body, headers=headers)
    assert response.headers["x-request-id"] == "test-log-line"
    line = server.wait_for_log("request", request_id="test-log-line")
    assert line["status"] == 200
    assert line["model"] == NANO
    assert line["completion_tokens"] == 3
    assert {"prompt_tokens", "cached_tokens", "queue_ms", "ttft_ms", "total_ms"} <= line.keys()
    assert line.keys() >= {"timestamp", "level", "event"}
    assert not any(secret in raw for raw in server.raw)
