"""Owns Anthropic's requests for tests, and the order of events that its clients expect."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from app.api.dialects.anthropic.chat_fields import Mapped, mapped
from app.api.dialects.anthropic.reader import ask_of
from app.api.dialects.anthropic.schemas import MessagesRequest
from app.api.dialects.anthropic.signatures import Signer
from app.errors import InvalidRequest
from app.protocol import Generate
from app.web.json_body import parse
from tests.api.requests import served

SIGNER = Signer(b"key of the tests")
USER: dict[str, Any] = {"role": "user", "content": "Hi"}
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def data_of(**fields: Any) -> bytes:
    """Return the body of a request."""
    return json.dumps({"messages": [USER], **fields}).encode()


def chat_of(**fields: Any) -> dict[str, Any]:
    """Return the chat body that a request becomes."""
    body: dict[str, Any] = json.loads(mapped_of(**fields).chat.data)
    return body


def mapped_of(**fields: Any) -> Mapped:
    """Return the chat request that a request becomes."""
    return mapped(body_of(data_of(**fields)), SIGNER)


def body_of(data: bytes) -> MessagesRequest:
    """Return a request as it is read from its JSON."""
    return parse(data, MessagesRequest)


def messages_of(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """Return the chat messages that Anthropic's become."""
    found: list[dict[str, Any]] = chat_of(messages=list(messages), **fields)["messages"]
    return found


def command_of(**fields: Any) -> Generate:
    """Return what the engine is told to do."""
    ask, _ = ask_of(body_of(data_of(**fields)), SIGNER, "r")
    (command,) = ask.commands(served())
    return command


def refusal(**fields: Any) -> InvalidRequest:
    """Return how a request is refused; the message begins with the field."""
    with pytest.raises(InvalidRequest) as refused:
        mapped_of(**fields)
    error = refused.value
    assert error.message.startswith(f"{error.param}: ")
    return error


def events_of(sent: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream; each has the name of its type."""
    *frames, rest = sent.decode().split("\n\n")
    assert rest == ""
    events = []
    for frame in frames:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


_FIELDS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}


class Reading:
    """A client that reads a stream, and insists on the order of its events."""

    def __init__(self) -> None:
        self.message: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.is_over = False
        self._open: int | None = None
        self._inputs: dict[int, str] = {}
        self._is_signed = False
        self._has_ended = False

    def read(self, event: dict[str, Any]) -> None:
        """Read one event."""
        assert not self.is_over, f"{event['type']} after the end"
        assert not self._has_ended or event["type"] in ("message_stop", "ping")
        match event["type"]:
            case "message_start":
                assert self.message is None
                self.message = copy.deepcopy(event["message"])
                assert self.message["content"] == []
                assert self.message["stop_reason"] is None
            case "ping":
                assert self.message is not None
            case "error":
                self.error, self.is_over = event["error"], True
            case "content_block_start":
                self._start(event)
            case "content_block_delta":
                self._delta(event["index"], event["delta"])
            case "content_block_stop":
                self._stop(event["index"])
            case "message_delta":
                assert self._open is None
                assert self.message is not None
                self.message.update(event["delta"])
                self.message["usage"] = {**self.message["usage"], **event["usage"]}
                self._has_ended = True
            case "message_stop":
                assert self._has_ended
                self.is_over = True
            case other:
                raise AssertionError(other)

    def _start(self, event: dict[str, Any]) -> None:
        assert self.message is not None
        assert self._open is None, "a block is open"
        assert event["index"] == len(self.message["content"])
        block = dict(event["content_block"])
        assert block.get("text", "") == block.get("thinking", "") == ""
        self.message["content"].append(block)
        self._open, self._is_signed = event["index"], False

    def _delta(self, index: int, delta: dict[str, str]) -> None:
        assert index == self._open
        assert self.message is not None
        kind, field = _FIELDS[delta["type"]]
        block = self.message["content"][index]
        assert block["type"] == kind
        assert not self._is_signed, "a signature is the last piece"
        if field == "partial_json":
            self._inputs[index] = self._inputs.get(index, "") + delta[field]
        else:
            assert delta[field], "a piece is empty"
            block[field] += delta[field]
        self._is_signed = field == "signature"

    def _stop(self, index: int) -> None:
        assert index == self._open
        assert self.message is not None
        kind = self.message["content"][index]["type"]
        assert (kind == "thinking") == self._is_signed
        assert kind != "tool_use" or self._inputs.get(index), "a call has no input"
        self._open = None

    def input_text(self, index: int) -> str:
        """Return the JSON text of a call's input."""
        return self._inputs[index]
