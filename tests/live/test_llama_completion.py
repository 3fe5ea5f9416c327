"""llama-server's native completion: its answer, its stream, its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.server import LiveServer

TEXT = "The capital of France is"
WHOLE = {
    "index",
    "content",
    "tokens",
    "id_slot",
    "stop",
    "model",
    "tokens_predicted",
    "tokens_evaluated",
    "generation_settings",
    "prompt",
    "has_new_line",
    "truncated",
    "stop_type",
    "stopping_word",
    "tokens_cached",
    "timings",
}


def complete(server: LiveServer, prompt: Any = TEXT, **fields: Any) -> Any:
    body = {"prompt": prompt, "temperature": 0, "n_predict": 10, **fields}
    response = server.http.post("/completion", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def stream(server: LiveServer, prompt: Any = TEXT, **fields: Any) -> list[dict[str, Any]]:
    body = {"prompt": prompt, "temperature": 0, "n_predict": 10, "stream": True, **fields}
    response = server.http.post("/completion", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    *frames, nothing = response.text.split("\n\n")
    assert nothing == ""
    return [json.loads(frame.removeprefix("data: ")) for frame in frames if frame != ": ping"]


def test_an_answer_has_llama_servers_fields(server: LiveServer) -> None:
    body = complete(server)
    assert body.keys() == WHOLE
    assert body["content"]
    assert body["prompt"] == TEXT
    assert body["tokens"] == []
    assert body["tokens_predicted"] == body["timings"]["predicted_n"]
    assert body["generation_settings"]["n_predict"] == 10
    assert server.http.post("/completions", json={"prompt": TEXT}).json().keys() == WHOLE


def test_a_stream_adds_up_to_the_whole_answer(server: LiveServer) -> None:
    whole = complete(server, return_tokens=True)
    *parts, last = stream(server)
    assert "".join(part["content"] for part in parts) == whole["content"]
    assert [token for part in (*parts, last) for token in part["tokens"]] == whole["tokens"]
    assert not any(part["stop"] for part in parts)
    assert (last["stop"], last["content"]) == (True, "")
    assert last.keys() == WHOLE
    assert last["stop_type"] == whole["stop_type"]


def test_returned_tokens_are_those_of_the_text(server: LiveServer) -> None:
    body = complete(server, return_tokens=True, ignore_eos=True)
    assert len(body["tokens"]) == body["tokens_predicted"] == 10
    text = server.http.post("/detokenize", json={"tokens": body["tokens"]}).json()["content"]
    assert text == body["content"]


def test_several_prompts_are_answered_with_a_list(server: LiveServer) -> None:
    tokens = server.http.post("/tokenize", json={"content": "Once"}).json()["tokens"]
    several = complete(server, [TEXT, tokens, {"prompt_string": "Hello"}])
    alone = [complete(server, prompt)["content"] for prompt in (TEXT, tokens, "Hello")]
    assert [each["index"] for each in several] == [0, 1, 2]
    assert [each["content"] for each in several] == alone


def test_an_answer_says_why_it_ended(server: LiveServer) -> None:
    body = complete(server, n_predict=3, ignore_eos=True)
    assert (body["stop_type"], body["tokens_predicted"]) == ("limit", 3)
    stop = body["content"][1:]
    body = complete(server, n_predict=10, stop=["unlikely", stop])
    assert (body["stop_type"], body["stopping_word"]) == ("word", stop)
    body = complete(server, json_schema={"const": 1})
    assert (body["stop_type"], body["content"]) == ("eos", "1")


def test_no_token_is_generated_where_none_is_wanted(server: LiveServer) -> None:
    body = complete(server, n_predict=0)
    assert (body["content"], body["tokens_predicted"]) == ("", 0)
    assert body["tokens_evaluated"] > 0


def test_probabilities_are_listed(server: LiveServer) -> None:
    body = complete(server, n_probs=4)
    probabilities = body["completion_probabilities"]
    assert "".join(each["token"] for each in probabilities) == body["content"]
    for each in probabilities:
        assert len(each["top_logprobs"]) == 4
        assert each["id"] == each["top_logprobs"][0]["id"]
    again = [one for part in stream(server, n_probs=4) for one in part["completion_probabilities"]]
    assert [each["token"] for each in again] == [each["token"] for each in probabilities]
    logprobs = [[each["logprob"] for each in those] for those in (again, probabilities)]
    # a cached prompt is decoded in a batch of another shape, so the last bits differ
    assert logprobs[0] == pytest.approx(logprobs[1], abs=0.1)


def test_only_the_wanted_fields_are_returned(server: LiveServer) -> None:
    body = complete(server, response_fields=["content", "timings/predicted_n"])
    assert body.keys() == {"content", "timings/predicted_n"}


def test_the_prompt_is_cached(server: LiveServer) -> None:
    text = "A long enough text that is asked for twice, for the cache to have it."
    complete(server, text, n_predict=1)
    body = complete(server, text, n_predict=1)
    assert 0 < body["tokens_cached"] < body["tokens_evaluated"]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("prompt", {"prompt": None}),
        ("prompt", {"prompt": [1, "a"]}),
        ("prompt", {"prompt": [2**31 - 1]}),
        ("n_predict", {"n_predict": -2}),
        ("n_probs", {"n_probs": -1}),
        ("grammar", {"grammar": "nonsense ::= ("}),
        ("json_schema", {"json_schema": 5}),
    ],
)
def test_a_wrong_field_is_a_400_in_llama_servers_shape(
    server: LiveServer, field: str, fields: dict[str, Any]
) -> None:
    response = server.http.post("/completion", json={"prompt": TEXT, **fields})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["type"]) == (400, "invalid_request_error")
    assert error["param"].partition("[")[0] == field


def test_a_prompt_over_the_context_has_its_own_type(server: LiveServer) -> None:
    response = server.http.post("/completion", json={"prompt": [5] * 100_000})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "exceed_context_size_error"
