"""What a model thinks is told apart from what it answers, and has a budget.

The bundled model does not think. Here a template opens its thoughts for it: what it says is then
a thought, until a budget ends it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.live.server import NANO, LiveServer

QUESTION = "Tell me a story."
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% else %}<think>{% endif %}"
)
BUDGET = 3


@pytest.fixture(scope="module")
def thinker() -> Iterator[LiveServer]:
    """A server whose model's prompt ends where it is to think."""
    with LiveServer("--chat-template", TEMPLATE) as live:
        yield live.wait_healthy()


def ask(server: LiveServer, **fields: Any) -> dict[str, Any]:
    (choice,) = server.chat(QUESTION, **{"max_tokens": 30, **fields})["choices"]
    found: dict[str, Any] = choice
    return found


def in_pieces(server: LiveServer, **fields: Any) -> tuple[str, str]:
    """Return the thoughts and the text of a streamed answer; a chunk has never both."""
    thoughts, text = "", ""
    for piece in server.stream(QUESTION, **{"max_tokens": 30, **fields}):
        delta = piece["choices"][0]["delta"]
        assert not (delta.get("reasoning_content") and delta.get("content"))
        thoughts += delta.get("reasoning_content") or ""
        text += delta.get("content") or ""
    return thoughts, text


def prompt(server: LiveServer, **fields: Any) -> str:
    body = {"messages": [{"role": "user", "content": QUESTION}], **fields}
    shown: str = server.http.post("/apply-template", json=body).json()["prompt"]
    return shown


# ---------------------------------------------------------------- where thoughts go


def test_thoughts_are_told_apart_from_the_answer(thinker: LiveServer) -> None:
    choice = ask(thinker)
    assert choice["message"]["reasoning_content"]
    assert "think>" not in choice["message"]["reasoning_content"]
    assert choice["message"]["content"] == ""
    assert choice["finish_reason"] == "length"


def test_thoughts_stay_in_the_text_for_those_who_want_them_there(thinker: LiveServer) -> None:
    message = ask(thinker, reasoning_format="none")["message"]
    assert "reasoning_content" not in message
    thoughts = message["content"].removeprefix("<think>")  # which the prompt ends with
    assert thoughts != message["content"]
    assert thoughts.strip() == ask(thinker)["message"]["reasoning_content"]
    assert ask(thinker, reasoning_format="deepseek") == ask(thinker, reasoning_format="auto")


@pytest.mark.parametrize(
    "fields",
    [{}, {"reasoning_format": "none"}, {"reasoning_budget": BUDGET}, {"enable_thinking": False}],
    ids=str,
)
def test_thoughts_in_pieces_are_the_whole_ones(thinker: LiveServer, fields: dict[str, Any]) -> None:
    message = ask(thinker, **fields)["message"]
    whole = (message.get("reasoning_content", ""), message["content"])
    assert in_pieces(thinker, **fields) == whole


def test_the_setting_holds_where_a_request_says_nothing() -> None:
    arguments = ("--chat-template", TEMPLATE, "--reasoning-format", "none")
    with LiveServer(*arguments, "--reasoning-budget", "2") as live:
        live.wait_healthy()
        assert "reasoning_content" not in ask(live)["message"]
        message = ask(live, reasoning_format="auto")["message"]
        assert message["reasoning_content"]
        assert message["content"]
        unlimited = ask(live, reasoning_format="auto", reasoning_budget=-1)["message"]
        assert len(unlimited["reasoning_content"]) > len(message["reasoning_content"])


# ---------------------------------------------------------------- how much is thought


def test_a_budget_ends_thoughts_and_the_answer_follows(thinker: LiveServer) -> None:
    all_of_it = ask(thinker)["message"]["reasoning_content"]
    message = ask(thinker, reasoning_budget=BUDGET)["message"]
    assert message["content"]
    assert message["reasoning_content"]
    assert all_of_it.startswith(message["reasoning_content"])
    n_tokens = thinker.http.post("/tokenize", json={"content": message["reasoning_content"]})
    assert len(n_tokens.json()["tokens"]) <= BUDGET


@pytest.mark.parametrize("name", ["reasoning_budget_tokens", "thinking_budget_tokens"])
def test_a_budget_has_other_servers_names_too(thinker: LiveServer, name: str) -> None:
    assert ask(thinker, **{name: BUDGET}) == ask(thinker, reasoning_budget=BUDGET)


def test_no_budget_at_all_is_no_thought_at_all(thinker: LiveServer) -> None:
    message = ask(thinker, reasoning_budget=0)["message"]
    assert not message.get("reasoning_content")
    assert message["content"]


def test_a_budget_without_thoughts_changes_nothing(server: LiveServer) -> None:
    assert ask(server, reasoning_budget=1) == ask(server)


def test_a_template_is_told_not_to_think(thinker: LiveServer) -> None:
    for fields in (
        {"enable_thinking": False},
        {"reasoning_effort": "none"},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ):
        message = ask(thinker, **fields)["message"]
        assert not message.get("reasoning_content")
        assert message["content"]
        assert prompt(thinker, **fields).endswith("</think>\n\n")
    assert prompt(thinker, reasoning_effort="low").endswith("<think>")
    assert prompt(thinker, enable_thinking=None).endswith("<think>")


# ---------------------------------------------------------------- thoughts and constraints


@pytest.mark.parametrize("budget", [0, BUDGET])
def test_what_an_answer_has_to_be_does_not_hold_for_thoughts(
    thinker: LiveServer, budget: int
) -> None:
    fields: dict[str, Any] = {"reasoning_budget": budget, "choice": ["left", "right"]}
    choice = ask(thinker, **fields)
    assert choice["message"]["content"] in ("left", "right")
    assert choice["finish_reason"] == "stop"
    assert bool(choice["message"].get("reasoning_content")) == bool(budget)
    thoughts, text = in_pieces(thinker, **fields)
    assert text == choice["message"]["content"]
    assert thoughts == choice["message"].get("reasoning_content", "")


def test_a_required_call_comes_after_thoughts(thinker: LiveServer) -> None:
    parameters = {
        "type": "object",
        "properties": {"color": {"enum": ["red", "green"]}},
        "required": ["color"],
    }
    tool = {"type": "function", "function": {"name": "set_led", "parameters": parameters}}
    choice = ask(
        thinker,
        tools=[tool],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_budget=BUDGET,
        max_tokens=200,
    )
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["reasoning_content"]
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["color"] in ("red", "green")


def test_the_official_client_shows_thoughts(thinker: LiveServer) -> None:
    with openai.OpenAI(base_url=f"{thinker.url}/v1", api_key="unused", max_retries=0) as client:
        answer = client.chat.completions.create(
            model=NANO,
            messages=[{"role": "user", "content": QUESTION}],
            temperature=0,
            reasoning_effort="low",
            extra_body={"reasoning_budget": BUDGET},
        )
    message = answer.choices[0].message
    assert message.content
    assert message.model_extra
    assert message.model_extra["reasoning_content"]
