"""Owns asking one thing in each dialect of conversations, and reading its answers, whole and
streamed, to the same parts. The order of a stream's events is checked as it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from tests.api.dialects.anthropic.anthropic_requests import Reading
from tests.api.dialects.ollama.ndjson_stream import read_stream
from tests.api.dialects.responses.stream_order import StreamOrder, events_of
from tests.live.chat_order import ChatOrder

Json = dict[str, Any]
TOOLS: dict[str, Json] = {
    name: {
        "type": "object",
        "properties": {
            "color": {"type": "string", "enum": ["red", "green", "blue"]},
            "level": {"type": "integer", "enum": [1, 20, 300]},
        },
        "required": ["color"],
        "additionalProperties": False,
    }
    for name in ("set_led", "paint_wall")
}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "words": {"type": "array", "items": {"enum": ["a", "longer word"]}, "maxItems": 4},
        "is_good": {"type": "boolean"},
    },
    "required": ["words", "is_good"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Case:
    """A random request.

    Args:
        prompt: the user's words.
        form: `text`, `tools` (the model may call), `call` (it has to) or `schema`.
        most: limit of the answer in tokens.
        stop: stop strings.
        thinks: whether the model may think.
    """

    prompt: str
    form: str = "text"
    most: int = 40
    stop: tuple[str, ...] = ()
    thinks: bool = False

    @property
    def has_tools(self) -> bool:
        """Whether the request offers tools."""
        return self.form in ("tools", "call")


@dataclass(frozen=True)
class Answer:
    """What a client has at the end; `end` is in the dialect's own words."""

    thoughts: str
    text: str
    calls: tuple[tuple[str, str], ...]
    end: str
    tokens: int


@dataclass(frozen=True)
class Spoken:
    """A dialect."""

    path: str
    body: Callable[[Case], Json]
    whole: Callable[[Json], Answer]
    streamed: Callable[[bytes], Answer]


def _given(arguments: Any) -> str:
    """Return a call's arguments as text, written one way; text that was cut stays as it is."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return str(arguments)
    return json.dumps(arguments)


# ---------------------------------------------------------------- OpenAI's chat


def _functions() -> list[Json]:
    return [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name, schema in TOOLS.items()
    ]


def _chat_body(case: Case) -> Json:
    body: Json = {
        "messages": [{"role": "user", "content": case.prompt}],
        "max_tokens": case.most,
        "stop": list(case.stop),
        "enable_thinking": case.thinks,
        "stream_options": {"include_usage": True},
    }
    if case.has_tools:
        choice = "required" if case.form == "call" else "auto"
        body |= {"tools": _functions(), "tool_choice": choice}
    if case.form == "schema":
        form = {"name": "form", "schema": SCHEMA}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _chat_whole(told: Json) -> Answer:
    (choice,) = told["choices"]
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return Answer(
        message.get("reasoning_content") or "",
        message["content"] or "",
        tuple((call["name"], _given(call["arguments"])) for call in calls),
        choice["finish_reason"],
        told["usage"]["completion_tokens"],
    )


def _chat_streamed(data: bytes) -> Answer:
    order = ChatOrder()
    order.take_all(data)
    calls = tuple((name, _given(arguments)) for name, arguments in order.calls)
    return Answer(order.thoughts, order.text, calls, order.end, order.tokens)


# ---------------------------------------------------------------- Anthropic's messages


def _messages_body(case: Case) -> Json:
    thinking = {"type": "enabled", "budget_tokens": 1024} if case.thinks else {"type": "disabled"}
    body: Json = {
        "model": "any",
        "messages": [{"role": "user", "content": case.prompt}],
        "max_tokens": case.most,
        "stop_sequences": list(case.stop),
        "thinking": thinking,
    }
    if case.has_tools:
        tools = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
        kind = "any" if case.form == "call" else "auto"
        body |= {"tools": tools, "tool_choice": {"type": kind}}
    if case.form == "schema":
        body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return body


def _of_message(message: Json, inputs: Callable[[int], Any]) -> Answer:
    def joined(kind: str) -> str:
        return "".join(block[kind] for block in message["content"] if block["type"] == kind)

    calls = tuple(
        (block["name"], _given(inputs(index)))
        for index, block in enumerate(message["content"])
        if block["type"] == "tool_use"
    )
    end = f"{message['stop_reason']} {message['stop_sequence']}"
    used = message["usage"]["output_tokens"]
    return Answer(joined("thinking"), joined("text"), calls, end, used)


def _messages_whole(told: Json) -> Answer:
    return _of_message(told, lambda index: told["content"][index]["input"])


def _messages_streamed(data: bytes) -> Answer:
    reading = Reading()
    for event in _named_events(data):
        reading.read(event)
    assert reading.is_over
    assert reading.error is None, reading.error
    assert reading.message is not None
    return _of_message(reading.message, lambda index: _input_of(reading.input_text(index)))


def _input_of(text: str) -> Any:
    """Return a call's input as Anthropic's client has it: of what was cut, what is whole."""
    return from_json(text, allow_partial=True)


def _named_events(data: bytes) -> list[Json]:
    """Return the events of a stream whose events have their type as their name."""
    events = []
    for block in data.decode().removesuffix("\n\n").split("\n\n"):
        name, line = block.split("\n")
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


# ---------------------------------------------------------------- Ollama's chat


def _ollama_body(case: Case) -> Json:
    body: Json = {
        "model": "any",
        "messages": [{"role": "user", "content": case.prompt}],
        "options": {"num_predict": case.most, "stop": list(case.stop)},
        "think": case.thinks,
    }
    if case.has_tools:
        choice = "required" if case.form == "call" else "auto"
        body |= {"tools": _functions(), "tool_choice": choice}
    if case.form == "schema":
        body["format"] = SCHEMA
    return body


def _ollama_answer(thoughts: str, text: str, calls: list[Json], last: Json) -> Answer:
    told = tuple((c["function"]["name"], _given(c["function"]["arguments"])) for c in calls)
    return Answer(thoughts, text, told, last["done_reason"], last["eval_count"])


def _ollama_whole(told: Json) -> Answer:
    message = told["message"]
    calls = message.get("tool_calls") or []
    return _ollama_answer(message.get("thinking") or "", message["content"], calls, told)


def _ollama_streamed(data: bytes) -> Answer:
    stream = read_stream(data)
    assert stream.last is not None
    assert "error" not in stream.last, stream.last
    return _ollama_answer(stream.thinking, stream.text, stream.calls, stream.last)


# ---------------------------------------------------------------- OpenAI's Responses


def _responses_body(case: Case) -> Json:
    body: Json = {
        "model": "any",
        "input": case.prompt,
        "max_output_tokens": case.most,
        "stop": list(case.stop),
        "reasoning": {"effort": "low" if case.thinks else "none"},
        "store": False,
    }
    if case.has_tools:
        tools = [{"type": "function", "name": n, "parameters": s} for n, s in TOOLS.items()]
        choice = "required" if case.form == "call" else "auto"
        body |= {"tools": tools, "tool_choice": choice}
    if case.form == "schema":
        body["text"] = {"format": {"type": "json_schema", "name": "form", "schema": SCHEMA}}
    return body


def _responses_whole(told: Json) -> Answer:
    def joined(kind: str, part: str) -> str:
        items = [item for item in told["output"] if item["type"] == kind]
        parts = [each for item in items for each in (*item.get("content", ()),)]
        return "".join(each["text"] for each in parts if each["type"] == part)

    calls = [item for item in told["output"] if item["type"] == "function_call"]
    end = f"{told['status']} {(told['incomplete_details'] or {}).get('reason')}"
    return Answer(
        joined("reasoning", "reasoning_text"),
        joined("message", "output_text"),
        tuple((call["name"], _given(call["arguments"])) for call in calls),
        end,
        told["usage"]["output_tokens"],
    )


def _responses_streamed(data: bytes) -> Answer:
    return _responses_whole(StreamOrder().take_all(events_of(data)))


DIALECTS = {
    "chat": Spoken("/v1/chat/completions", _chat_body, _chat_whole, _chat_streamed),
    "anthropic": Spoken("/v1/messages", _messages_body, _messages_whole, _messages_streamed),
    "ollama": Spoken("/api/chat", _ollama_body, _ollama_whole, _ollama_streamed),
    "responses": Spoken("/v1/responses", _responses_body, _responses_whole, _responses_streamed),
}
