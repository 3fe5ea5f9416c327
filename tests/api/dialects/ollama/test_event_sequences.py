"""Answers of the real engine, cut wherever they can be, are lines in order whose sum is the whole.

The model writes what a script says (`tests.engine.scripted_model`). Covers
`app.api.dialects.ollama.writer` with the events that engines send.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest

from app.api.dialects.ollama.lines import chat_body
from app.api.dialects.ollama.writer import OllamaWriter
from app.api.outcome import Outcome
from app.chat.tool_formats import ToolFormat
from app.errors import EngineDied
from app.protocol import Accepted, Chosen, Event, Finished, RequestEvent
from tests.api.dialects.ollama.ndjson_stream import Stream, read_stream
from tests.api.requests import command
from tests.engine.scripted_model import BY_NAME, Reply, ScriptedModel

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"]},
        },
    }
    for name in ("f", "g")
]


class RecordedModel(ScriptedModel):
    """Keeps the events of the last answer that a client gets."""

    def __init__(self, known: ToolFormat) -> None:
        super().__init__(known)
        self.events: list[RequestEvent] = []

    def _note(self, event: Event, replies: list[Reply]) -> None:
        super()._note(event, replies)
        if isinstance(event, get_args(RequestEvent)) and not isinstance(event, Accepted | Chosen):
            self.events.append(event)

    def events_of(self, script: str, **fields: Any) -> list[RequestEvent]:
        """Return the events of an answer to a request whose chat body has `fields`."""
        self.events = []
        self.answer(script, **fields)
        return self.events


def streamed(events: Sequence[RequestEvent]) -> Stream:
    written, outcome = OllamaWriter("m", chat_body, 0), Outcome([command()])
    sent = written.begin()
    for event in events:
        sent += written.feed(0, event)
        outcome.note(0, [event])
    return read_stream(sent + written.end(outcome))


def whole(events: Sequence[RequestEvent]) -> dict[str, Any]:
    written, outcome = OllamaWriter("m", chat_body, 0), Outcome([command()])
    for event in events:
        written.collect(0, event)
        outcome.note(0, [event])
    body: dict[str, Any] = json.loads(written.whole(outcome))
    return body


def check(events: list[RequestEvent]) -> None:
    """Check the stream, the whole answer, and the stream of an engine that dies at each event."""
    stream, body = streamed(events), whole(events)
    message = body["message"]
    assert stream.text == message["content"]
    assert stream.thinking == message.get("thinking", "")
    assert stream.calls == message.get("tool_calls", [])
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert body["done_reason"] == ("length" if finished.reason == "length" else "stop")
    for n_sent in range(len(events)):
        written = OllamaWriter("m", chat_body, 0)
        sent = b"".join(written.feed(0, event) for event in events[:n_sent])
        died = read_stream(sent + written.error(EngineDied("gone")))
        assert died.last == {"error": "gone"}
        assert stream.text.startswith(died.text)
        assert stream.thinking.startswith(died.thinking)
        assert stream.calls[: len(died.calls)] == died.calls


@pytest.mark.parametrize("name", ["hermes", "harmony"])
def test_answers_that_are_cut_at_every_token(name: str) -> None:
    model = RecordedModel(BY_NAME[name])
    fields: dict[str, Any] = {"tools": TOOLS}
    script = model.thoughts("Hm, so.") + model.text("Well.") + model.call(TOOLS, "g")
    n_tokens = model.answer(script, **fields).n_tokens
    for limit in range(1, n_tokens + 1):
        check(model.events_of(script, max_tokens=limit, **fields))
    events = model.events_of(script, **fields)
    check(events)
    assert [call["function"]["name"] for call in streamed(events).calls] == ["g"]


@pytest.mark.parametrize("stop", ["so", "Well", "ll.", "g", "{"])
def test_answers_that_a_stop_string_ends(stop: str) -> None:
    model = RecordedModel(BY_NAME["hermes"])
    script = model.thoughts("Hm, so.") + model.text("Well.") + model.call(TOOLS)
    check(model.events_of(script, stop=[stop], tools=TOOLS))
