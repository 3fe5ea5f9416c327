"""What an answer says of its own times agrees with what its client sees."""

from __future__ import annotations

import time

import pytest

from tests.live.server import LiveServer, chunks, user


@pytest.mark.parametrize("n_words", [1, 200])
def test_the_server_never_claims_more_time_than_its_client_saw(
    server: LiveServer, n_words: int
) -> None:
    prompt = "Tell me a story. " + "word " * n_words
    body = {"messages": [user(prompt)], "stream": True, "max_tokens": 30}
    began_s = time.perf_counter()
    first_s = 0.0
    n_pieces = 0
    timings: dict[str, float] = {}
    with server.http.stream("POST", "/v1/chat/completions", json=body) as response:
        for piece in chunks(response):
            if piece["choices"][0]["delta"].get("content"):
                first_s = first_s or time.perf_counter()
                n_pieces += 1
            timings = piece.get("timings") or timings
    ended_s = time.perf_counter()
    assert timings["queue_ms"] <= timings["ttft_ms"] <= (first_s - began_s) * 1000
    total_ms = timings["ttft_ms"] + timings["predicted_ms"]
    assert total_ms <= (ended_s - began_s) * 1000
    assert 1 <= n_pieces <= timings["predicted_n"] <= 30
    assert timings["prompt_n"] + timings["cache_n"] > n_words
