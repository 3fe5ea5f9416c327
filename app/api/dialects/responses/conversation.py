"""Owns turning input items into the messages of a chat request; no I/O.

Reasoning belongs to the message or the calls of the assistant that follow it. What the assistant
says and calls until the next result or message of somebody else is one message. Instructions at the
beginning are one message. Items of types that this server does not know are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.api.dialects.responses.contents import as_content, texts_of
from app.api.dialects.responses.thoughts import unsealed
from app.api.dialects.responses.tools import Toolbox, custom_arguments
from app.base.json_types import JsonObject
from app.errors import InvalidRequest

_OTHERS = ("system", "developer", "user")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def messages_of(
    items: Sequence[JsonObject],
    instructions: str | None = None,
    toolbox: Toolbox | None = None,
    *,
    n_earlier: int = 0,
) -> list[JsonObject]:
    """Return the chat messages that items stand for; there is always one at least.

    Args:
        items: those of the input, the oldest first.
        instructions: stand before them.
        toolbox: has the names by which the model knows the tools of earlier calls.
        n_earlier: how many of the items come from earlier responses, not from the input.

    Raises:
        InvalidRequest: an item is malformed or has more than text; `param` names it.
    """
    reader = _ItemReader(toolbox or Toolbox([]))
    if instructions:
        reader.add_instructions(instructions)
    for index, item in enumerate(items):
        reader.add(item, f"input[{index - n_earlier}]")
    return reader.messages()


def kind_of(item: JsonObject) -> str:
    """Return the type of an item; a message and a reference may leave it out."""
    kind = item.get("type")
    if kind is None:
        return "message" if "role" in item else "item_reference" if "id" in item else ""
    return kind if isinstance(kind, str) else ""


class _Turn:
    """What the assistant says and calls at once."""

    def __init__(self) -> None:
        self.thoughts: list[str] = []
        self.texts: list[str] = []
        self.calls: list[JsonObject] = []

    def message(self) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": "".join(self.texts)}
        if self.thoughts:
            message["reasoning_content"] = "\n".join(self.thoughts)
        if self.calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = self.calls
        return message


class _ItemReader:
    """Reads items one by one."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._messages: list[JsonObject] = []
        self._turn = _Turn()
        self._left_out: set[str] = set()  # ids of calls that the model is not shown

    def messages(self) -> list[JsonObject]:
        self._end_turn()
        return self._messages or [{"role": "user", "content": ""}]

    def add_instructions(self, text: str) -> None:
        self._messages.append({"role": "system", "content": text})

    def add(self, item: Any, place: str) -> None:
        if not isinstance(item, dict):
            raise InvalidRequest(f"{place}: must be an object", param=place)
        match kind_of(item):
            case "message":
                self._add_message(item, place)
            case "reasoning":
                self._add_thoughts(item, place)
            case "function_call":
                arguments = _text_field(item, "arguments", place)
                self._add_call(item, arguments, place)
            case "custom_tool_call":
                text = _text_field(item, "input", place)
                self._add_call(item, custom_arguments(text), place)
            case kind if kind in _OUTPUTS:
                self._add_output(item, place)
            case "item_reference":
                raise InvalidRequest(
                    f"{place}: there is no stored item {item.get('id')!r}",
                    param=place,
                    code="item_not_found",
                )
            case "":
                raise InvalidRequest(f"{place}.type: is required", param=f"{place}.type")
            case _:
                if isinstance(item.get("call_id"), str):
                    self._left_out.add(item["call_id"])

    def _add_message(self, item: JsonObject, place: str) -> None:
        role = item.get("role")
        texts = texts_of(item.get("content"), f"{place}.content")
        if role == "assistant":
            if self._turn.texts and not self._turn.calls:
                self._end_turn()
            self._turn.texts.append("".join(texts))
            return
        if role not in _OTHERS:
            known = ", ".join((*_OTHERS, "assistant"))
            raise InvalidRequest(f"{place}.role: must be one of {known}", param=f"{place}.role")
        self._end_turn()
        is_opening = all(message["role"] in _OTHERS[:2] for message in self._messages)
        if role != "user" and self._messages and is_opening:
            first = self._messages[0]
            parts = [part for part in (first["content"], "\n".join(texts)) if part]
            roles = {str(role), first["role"]}
            self._messages = [
                {
                    "role": "developer" if roles == {"developer"} else "system",
                    "content": "\n\n".join(parts),
                }
            ]
            return
        content = as_content(texts) if role == "user" else "\n".join(texts)
        self._messages.append({"role": role, "content": content})

    def _add_thoughts(self, item: JsonObject, place: str) -> None:
        text = _thoughts(item, place)
        if self._turn.texts and not self._turn.calls:
            self._end_turn()
        if text:
            self._turn.thoughts.append(text)

    def _add_call(self, item: JsonObject, arguments: str, place: str) -> None:
        namespace = item.get("namespace")
        name = self._toolbox.model_name(
            _text_field(item, "name", place), namespace if isinstance(namespace, str) else ""
        )
        self._turn.calls.append(
            {
                "id": _text_field(item, "call_id", place),
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
        )

    def _add_output(self, item: JsonObject, place: str) -> None:
        call_id = _text_field(item, "call_id", place)
        content = "\n".join(texts_of(item.get("output"), f"{place}.output"))
        if call_id in self._left_out:
            return
        self._end_turn()
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, _Turn()
        if turn.texts or turn.calls:
            self._messages.append(turn.message())


def _text_field(item: JsonObject, field: str, place: str) -> str:
    value = item.get(field)
    if not isinstance(value, str):
        raise InvalidRequest(f"{place}.{field}: must be text", param=f"{place}.{field}")
    return value


def _thoughts(item: JsonObject, place: str) -> str:
    """Return the thoughts of a reasoning item, in the fullest form that it has."""
    open_text = _joined(item.get("content"), f"{place}.content")
    if open_text:
        return open_text
    sealed_text = item.get("encrypted_content")
    given = unsealed(sealed_text) if isinstance(sealed_text, str) else None
    return given or _joined(item.get("summary"), f"{place}.summary")


def _joined(parts: Any, place: str) -> str:
    if parts is None:
        return ""
    is_list = isinstance(parts, list) and all(isinstance(part, dict) for part in parts)
    if not is_list:
        raise InvalidRequest(f"{place}: must be a list of parts", param=place)
    texts = (part.get("text") for part in parts)
    return "\n\n".join(text for text in texts if isinstance(text, str))
