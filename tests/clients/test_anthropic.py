"""What only the `anthropic` package asks for: counts, stop sequences, results of calls, errors."""

from __future__ import annotations

import pytest

from tests.clients.environment import Tell
from tests.live.server import NANO

pytestmark = pytest.mark.timeout(300)
PROGRAM = "anthropic_python.py"


def test_it_counts_the_tokens_of_a_prompt(tell: Tell) -> None:
    told = tell(PROGRAM, "anthropic")
    assert told.result("count") == told.result("chat")["tokens"][0]


def test_langchain_counts_too(tell: Tell) -> None:
    told = tell("langchain_anthropic_python.py", "anthropic")
    assert told.result("count") == told.result("chat")["tokens"][0]


def test_it_is_told_the_stop_sequence(tell: Tell) -> None:
    told = tell(PROGRAM, "anthropic").result("stop_sequence")
    assert told == {"end": "stop_sequence", "stop_sequence": "Paris"}


def test_a_result_of_a_call_is_answered(tell: Tell) -> None:
    answer = tell(PROGRAM, "anthropic").result("tool_result")
    assert answer["text"] or answer["calls"]


def test_its_tool_runner_goes_on_by_a_message_thread(tell: Tell) -> None:
    told = tell(PROGRAM, "anthropic").result("tool_runner")
    assert told["messages"][0] == "tool_use"
    assert len(told["messages"]) == 2
    assert told["given"][0] == "green"


def test_a_stream_has_all_kinds_of_events(tell: Tell) -> None:
    events = set(tell(PROGRAM, "anthropic").result("chat_streamed")["events"])
    assert {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    } <= events


def test_it_lists_models(tell: Tell) -> None:
    assert NANO in tell(PROGRAM, "anthropic").result("models")


def test_errors_are_its_own(tell: Tell) -> None:
    told = tell(PROGRAM, "anthropic")
    assert told.result("unknown_model") == "not_found_error"
    assert told.result("bad_field") == "invalid_request_error"
