"""Several requests share one context: queue, several answers, progress, cancellation, metrics."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.live.server import LiveServer, chunks, user

CHAT = "/v1/chat/completions"
COUNTRIES = ["France", "Spain", "Italy", "Japan", "Germany", "Greece"]


@pytest.fixture
def narrow_server() -> Iterator[LiveServer]:
    """A server whose KV cache holds little."""
    with LiveServer("--n-ctx", "512", "--parallel", "2") as live:
        yield live.wait_healthy()


def endless(live: LiveServer, **fields: Any) -> dict[str, Any]:
    """Return a request that generates until the context is full."""
    end = live.http.post("/tokenize", json={"content": "<|im_end|>"}).json()["tokens"]
    bias = {str(token): -100 for token in end}
    return {"messages": [user("Tell me a story.")], "stream": True, "logit_bias": bias, **fields}


def test_several_answers_share_one_prompt(server: LiveServer) -> None:
    answer = server.chat("What is the capital of France?", n=3)
    choices = answer["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 1
    alone = server.chat("What is the capital of France?")["usage"]
    assert answer["usage"]["prompt_tokens"] == alone["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] == 3 * alone["completion_tokens"]


def test_several_answers_are_streamed_side_by_side(server: LiveServer) -> None:
    pieces = list(server.stream("What is the capital of France?", n=2))
    texts = ["", ""]
    reasons = [None, None]
    for piece in pieces:
        for choice in piece["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
            reasons[choice["index"]] = choice["finish_reason"]
    assert texts[0] == texts[1] != ""
    assert reasons == ["stop", "stop"]


def test_several_answers_with_one_seed_differ(own_server: LiveServer) -> None:
    def answers() -> list[str]:
        body = {"n": 4, "seed": 5, "temperature": 3.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
        choices = own_server.chat("Tell me a story.", max_tokens=20, **body)["choices"]
        return [choice["message"]["content"] for choice in choices]

    assert len(set(answers())) == 4


def test_the_prefill_of_a_stream_can_be_watched(own_server: LiveServer) -> None:
    question = "Tell me about the sea. " * 40
    pieces = list(own_server.stream(question, max_tokens=2, return_progress=True))
    progress = [piece["prompt_progress"] for piece in pieces if "prompt_progress" in piece]
    assert progress
    assert [step["processed"] for step in progress] == sorted(s["processed"] for s in progress)
    assert progress[-1]["processed"] == progress[-1]["total"]
    assert progress[0]["cache"] == 0


def test_a_full_queue_is_answered_429_with_a_time_to_come_back() -> None:
    with LiveServer("--parallel", "1", "--max-queue", "0") as live:
        live.wait_healthy()
        with live.http.stream("POST", CHAT, json=endless(live)) as running:
            pieces = chunks(running)
            next(pieces)
            refused = live.http.post(CHAT, json={"messages": [user("Hi")]})
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1


def test_a_full_kv_cache_holds_requests_back_and_loses_none(narrow_server: LiveServer) -> None:
    def ask(number: int) -> tuple[int, str]:
        with httpx.Client(base_url=narrow_server.url, timeout=60) as client:
            body = endless(narrow_server, stream=False, max_tokens=300, temperature=0)
            response = client.post(CHAT, json=body)
            return response.status_code, response.json()["choices"][0]["finish_reason"]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(4))) == {(200, "length")}


def test_answers_in_company_equal_solo_answers_whoever_hangs_up(server: LiveServer) -> None:
    questions = [f"What is the capital of {country}?" for country in COUNTRIES]
    alone = [server.chat(question)["choices"][0]["message"]["content"] for question in questions]

    def ask(number: int) -> bool:
        dice = random.Random(number)
        which = dice.randrange(len(questions))
        leaves_after = dice.choice([None, None, 1, 3])
        text = ""
        body = {"messages": [user(questions[which])], "temperature": 0, "stream": True}
        with (
            httpx.Client(base_url=server.url, timeout=60) as client,
            client.stream("POST", CHAT, json=body) as response,
        ):
            for count, piece in enumerate(chunks(response)):
                if leaves_after is not None and count >= leaves_after:
                    return True
                text += piece["choices"][0]["delta"].get("content") or ""
        return bool(text == alone[which])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))
    server.wait_until(lambda: server.health["engine"]["requests"] == 0)


def test_nothing_is_left_of_500_abandoned_requests(own_server: LiveServer) -> None:
    body = endless(own_server, messages=[user("Tell me a story. " * 20)])

    def abandon(number: int) -> None:
        dice = random.Random(number)
        is_streamed = dice.random() < 0.7
        patience_s = dice.choice([0.001, 0.01, 0.05, 0.2])  # queued, in prefill, in decode
        with httpx.Client(base_url=own_server.url, timeout=patience_s) as client:
            try:
                with client.stream("POST", CHAT, json={**body, "stream": is_streamed}) as response:
                    for count, _ in enumerate(response.iter_lines()):
                        if count > dice.randrange(1, 40):
                            break
            except httpx.TimeoutException:
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(abandon, range(500)))
    own_server.wait_until(lambda: own_server.health["engine"]["requests"] == 0)
    assert (
        "Paris"
        in own_server.chat("What is the capital of France?")["choices"][0]["message"]["content"]
    )
    own_server.wait_until(lambda: "active_sequences 0.0" in own_server.http.get("/metrics").text)
    assert "queue_depth 0.0" in own_server.http.get("/metrics").text
    assert not own_server.log("engine_exited")


def test_metrics_count_what_clients_saw(own_server: LiveServer) -> None:
    usage = own_server.chat("Hello!", max_tokens=5)["usage"]
    text = own_server.http.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    completion = values['distiller_llm_tokens_total{kind="completion"}']
    assert float(completion) == usage["completion_tokens"]
    assert float(values['distiller_llm_tokens_total{kind="prompt"}']) == usage["prompt_tokens"]
    assert float(values["distiller_llm_up"]) == 1
    assert float(values["distiller_llm_ttft_seconds_count"]) == 1


def test_a_request_over_its_deadline_ends_with_a_clear_error() -> None:
    with LiveServer("--request-deadline-s", "0.05") as live:
        live.wait_healthy()
        body = endless(live, stream=False)
        late = live.http.post(CHAT, json=body)
        assert late.status_code == 504
        assert late.json()["error"]["code"] == "deadline_exceeded"
        assert live.chat("Hello!", max_tokens=1)["choices"]
