"""What only the `openai` packages ask for: models, legacy completions, the store of responses."""

from __future__ import annotations

import pytest

from tests.clients.environment import Tell
from tests.live.server import NANO

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.parametrize("program", ["openai_python.py", "openai_js.mjs"]),
]


def test_it_lists_and_retrieves_models(tell: Tell, program: str) -> None:
    told = tell(program, "chat")
    assert NANO in told.result("models")
    assert told.result("model") == NANO


def test_an_unknown_model_is_its_own_error(tell: Tell, program: str) -> None:
    assert tell(program, "chat").result("unknown_model") == "model_not_found"


def test_a_streamed_completion_is_the_whole_one(tell: Tell, program: str) -> None:
    told = tell(program, "chat")
    whole, streamed = told.result("completion"), told.result("completion_streamed")
    assert whole["text"]
    assert streamed == whole


def test_a_response_goes_on_from_the_one_that_called(tell: Tell, program: str) -> None:
    told = tell(program, "store").result("response_continued")
    assert told["previous"]
    assert told["status"] in ("completed", "incomplete")
    assert told["grown"], "the second prompt holds the first one"
    assert told["cached"] >= told["of_first"] - 1, "what was said before costs no prefill"
    assert told["same"], "a stored response is what was answered"
    assert "function_call_output" in told["input_types"]
    assert told["deleted"]


def test_the_events_of_a_response_all_come(tell: Tell, program: str) -> None:
    events = set(tell(program, "responses").result("response_streamed")["events"])
    assert {
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    } <= events
