"""What only Ollama's clients ask for: generate, the views of models, results without ids."""

from __future__ import annotations

import pytest

from tests.clients.environment import Tell
from tests.live.server import NANO

pytestmark = pytest.mark.timeout(300)
PROGRAMS = ["ollama_python.py", "ollama_js.mjs"]
each_package = pytest.mark.parametrize("program", PROGRAMS)


@each_package
def test_generate_answers_whole_and_streamed(tell: Tell, program: str) -> None:
    told = tell(program, "ollama")
    whole, streamed = told.result("generate"), told.result("generate_streamed")
    assert "Paris" in whole["text"]
    assert streamed == whole
    assert whole["end"] == "stop"


@each_package
def test_it_lists_and_shows_models(tell: Tell, program: str) -> None:
    told = tell(program, "catalogue")
    name = NANO.removesuffix(".gguf")
    assert any(model.startswith(name) for model in told.result("models"))
    assert any(model.startswith(name) for model in told.result("running"))
    shown = told.result("show")
    assert {"completion", "tools"} <= set(shown["capabilities"])
    assert shown["architecture"] == "qwen3"
    assert shown["family"]


@each_package
def test_an_unknown_model_is_a_404(tell: Tell, program: str) -> None:
    assert tell(program, "ollama").result("unknown_model") == 404


def test_a_stream_ends_once_and_says_how_long_it_took(tell: Tell) -> None:
    told = tell("ollama_python.py", "ollama").result("chat_streamed")
    assert told["ends_once"]
    assert told["measured"]


def test_a_result_without_an_id_is_answered(tell: Tell) -> None:
    answer = tell("ollama_python.py", "ollama").result("tool_result")
    assert answer["text"] or answer["calls"]


def test_a_python_function_is_a_tool(tell: Tell) -> None:
    answer = tell("ollama_python.py", "ollama").result("function_as_tool")
    assert answer["calls"] == [["set_led", {"color": "green"}]]


def test_generate_is_held_to_a_schema(tell: Tell) -> None:
    assert '"city"' in tell("ollama_python.py", "ollama").result("generate_schema")["text"]


def test_a_chat_without_messages_loads(tell: Tell) -> None:
    assert tell("ollama_python.py", "ollama").result("load") == "load"


@pytest.mark.parametrize(
    ("program", "steps"),
    [
        ("langchain_ollama_python.py", ("generate", "generate_streamed")),
        ("llama_index_ollama.py", ("complete", "complete_streamed")),
    ],
)
def test_completions_are_the_same_whole_and_streamed(
    tell: Tell, program: str, steps: tuple[str, str]
) -> None:
    whole, streamed = (tell(program, "ollama").result(step)["text"] for step in steps)
    assert "Paris" in whole
    assert streamed == whole
