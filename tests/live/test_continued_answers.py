"""A client can have the last message of a conversation continued."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.server import LiveServer, user

QUESTION = "What is the capital of France?"


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def continued(server: LiveServer, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {
        "messages": list(messages),
        "temperature": 0,
        "continue_final_message": True,
        **fields,
    }
    response = server.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def content_of(answer: dict[str, Any]) -> str:
    content: str = answer["choices"][0]["message"]["content"]
    return content


def test_the_answer_is_only_what_follows_the_message(server: LiveServer) -> None:
    whole = content_of(server.chat(QUESTION, max_tokens=30))
    first, space, _ = whole.partition(" ")
    answer = continued(server, user(QUESTION), assistant(first), max_tokens=30)
    assert space
    assert first + content_of(answer) == whole


def test_an_answer_that_was_cut_off_goes_on_from_its_own_tokens(server: LiveServer) -> None:
    whole = server.chat(QUESTION, max_tokens=30)
    cut = server.chat(QUESTION, max_tokens=3)
    assert cut["choices"][0]["finish_reason"] == "length"
    rest = continued(server, user(QUESTION), assistant(content_of(cut)), max_tokens=30)
    assert content_of(cut) + content_of(rest) == content_of(whole)
    before = cut["usage"]["prompt_tokens"]
    assert rest["usage"]["prompt_tokens"] == before + 3
    assert rest["usage"]["prompt_tokens_details"]["cached_tokens"] >= before


def test_a_continued_answer_is_cached_when_the_whole_comes_back(server: LiveServer) -> None:
    rest = continued(server, user(QUESTION), assistant("The capital"), max_tokens=30)
    whole = assistant("The capital" + content_of(rest))
    body = {"messages": [user(QUESTION), whole, user("Thanks!")], "max_tokens": 1}
    later = server.http.post("/v1/chat/completions", json=body).json()
    seen = rest["usage"]["prompt_tokens"] + rest["usage"]["completion_tokens"]
    assert later["usage"]["prompt_tokens_details"]["cached_tokens"] >= seen - 1


def test_the_prompt_ends_where_it_was_asked_to(server: LiveServer) -> None:
    def prompt(**fields: Any) -> str:
        body = {"messages": [user(QUESTION), assistant("The capital")], **fields}
        shown: str = server.http.post("/apply-template", json=body).json()["prompt"]
        return shown

    opened, closed = prompt(), prompt(add_generation_prompt=False)
    inside = prompt(continue_final_message=True)
    assert inside.endswith("The capital")
    assert closed.startswith(inside)
    assert opened.startswith(closed)
    assert len(inside) < len(closed) < len(opened)


def test_a_prompt_that_ends_inside_a_message_can_be_made_ready(server: LiveServer) -> None:
    messages = [user("Tell me about Kenya."), assistant("Kenya is")]
    body = {"messages": messages, "continue_final_message": True}
    ready = server.http.post("/restore_cache", json=body).json()
    answer = continued(server, *messages, max_tokens=1)
    assert ready["prompt_tokens"] == answer["usage"]["prompt_tokens"] - 1
    cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached == ready["prompt_tokens"]


@pytest.mark.parametrize(
    ("messages", "fields", "param"),
    [
        ([user("Hi"), assistant("Hel")], {"add_generation_prompt": True}, "continue_final_message"),
        ([user("Hi")], {}, "messages"),
        ([user("Hi")], {"add_generation_prompt": False}, "messages"),
    ],
)
def test_what_cannot_be_continued_is_refused(
    server: LiveServer, messages: list[dict[str, Any]], fields: dict[str, Any], param: str
) -> None:
    body = {"messages": messages, "continue_final_message": True, **fields}
    for path in ("/v1/chat/completions", "/apply-template", "/restore_cache"):
        response = server.http.post(path, json=body)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == param


def test_reasoning_that_a_model_has_none_of_cannot_be_continued(server: LiveServer) -> None:
    message = {"role": "assistant", "content": "", "reasoning_content": "Let me"}
    for part in (True, "reasoning"):
        body = {"messages": [user(QUESTION), message], "continue_final_message": part}
        for path in ("/v1/chat/completions", "/apply-template", "/restore_cache"):
            response = server.http.post(path, json=body)
            assert response.status_code == 400, response.text
            assert response.json()["error"]["param"] == "continue_final_message"
    rest = continued(
        server, user(QUESTION), message, continue_final_message="content", max_tokens=3
    )
    assert content_of(rest)
