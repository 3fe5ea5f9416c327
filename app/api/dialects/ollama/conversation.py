"""Owns turning Ollama's messages and tools into those of OpenAI's chat body; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.api.dialects.ollama.schemas import OllamaMessage

_VALUES = ("const", "default", "enum", "example", "examples")  # of a schema: null is a value there


def openai_messages(messages: Sequence[OllamaMessage]) -> list[dict[str, Any]]:
    """Return a conversation as OpenAI's messages, one for each.

    Calls without an id get one, and results without one that of their call: the first call of the
    assistant's last message that has the result's tool name, else the first one without a result.
    """
    return _Messages().read(messages)


class _Messages:
    """A conversation as it is read.

    Attributes:
        waiting: ids and names of the calls that have no result yet.
    """

    def __init__(self) -> None:
        self._n_calls = 0
        self.waiting: list[tuple[str, str]] = []

    def read(self, messages: Sequence[OllamaMessage]) -> list[dict[str, Any]]:
        return [self._message(message) for message in messages]

    def _message(self, message: OllamaMessage) -> dict[str, Any]:
        if message.role == "tool":
            return self._result(message)
        fields: dict[str, Any] = {"role": message.role}
        if message.content is not None or not message.tool_calls:
            fields["content"] = message.content or ""
        if message.thinking:
            fields["reasoning_content"] = message.thinking
        if message.role == "assistant":
            self.waiting = []
        if message.tool_calls:
            fields["tool_calls"] = [self._call(call) for call in message.tool_calls]
        return fields

    def _call(self, call: Any) -> dict[str, Any]:
        self._n_calls += 1
        # The same in each turn, so that the prompt stays the same, and of the nine letters and
        # digits that some templates insist on.
        call_id = call.id or f"call{self._n_calls:05d}"
        function = {"name": call.function.name, "arguments": call.function.arguments or {}}
        self.waiting.append((call_id, call.function.name))
        return {"id": call_id, "type": "function", "function": function}

    def _result(self, message: OllamaMessage) -> dict[str, Any]:
        name = message.tool_name or message.name
        call_id = message.tool_call_id
        index = self._index(call_id, name)
        if index is not None:
            of_call, called = self.waiting.pop(index)
            call_id, name = call_id or of_call, name or called
        given = {"tool_call_id": call_id, "name": name}
        fields = {key: value for key, value in given.items() if value}
        return {"role": "tool", "content": message.content or "", **fields}

    def _index(self, call_id: str | None, name: str | None) -> int | None:
        """Return which of the waiting calls a result belongs to."""
        if call_id:
            ids = [waiting_id for waiting_id, _ in self.waiting]
            return ids.index(call_id) if call_id in ids else None
        names = [called for _, called in self.waiting]
        if name in names:
            return names.index(name)
        return 0 if self.waiting else None


def openai_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Return the tools without null fields, which clients send for what they leave out."""
    return [without_nulls(tool) for tool in tools] if tools else None


def without_nulls(value: Any) -> Any:
    """Return a JSON schema, or what has some, without null fields; null among values is kept."""
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: each if key in _VALUES else without_nulls(each)
        for key, each in value.items()
        if each is not None or key in _VALUES
    }
