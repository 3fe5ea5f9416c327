"""The prompt of a conversation can be looked at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.server import NANO, LiveServer, user

STORY = "Tell me a story."


@pytest.mark.parametrize("path", ["/apply-template", "/v1/apply-template"])
def test_a_prompt_is_shown_as_the_model_reads_it(server: LiveServer, path: str) -> None:
    body: dict[str, Any] = {"messages": [user(STORY)], "model": NANO}
    response = server.http.post(path, json=body)
    assert response.status_code == 200
    assert response.json().keys() == {"prompt"}
    prompt = response.json()["prompt"]
    assert STORY in prompt
    tokens = server.http.post("/tokenize", json={"content": prompt}).json()["tokens"]
    usage = server.chat(STORY, max_tokens=1)["usage"]
    assert usage["prompt_tokens"] - len(tokens) in (0, 1), "but for a beginning of sequence"


def test_tools_are_in_the_prompt_unless_they_are_not_offered(server: LiveServer) -> None:
    tool = {"type": "function", "function": {"name": "set_led", "parameters": {"type": "object"}}}
    body: dict[str, Any] = {"messages": [user(STORY)], "tools": [tool]}
    shown = server.http.post("/apply-template", json=body).json()["prompt"]
    hidden = server.http.post("/apply-template", json={**body, "tool_choice": "none"})
    assert "set_led" in shown
    assert "set_led" not in hidden.json()["prompt"]


def test_a_conversation_that_cannot_be_shown_is_refused(server: LiveServer) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    response = server.http.post("/apply-template", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages[0].content[0].type"
    assert server.http.post("/apply-template", json={"messages": []}).status_code == 400
