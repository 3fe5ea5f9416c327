"""Owns the way from the JSON text of a command to the conversation that its prompt shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.base.json_types import JsonObject, plain_json, without_lone_escapes
from app.chat.template.messages import reasoning_of
from app.chat.template.tools import without_nulls
from app.errors import InvalidRequest
from app.protocol import CountTokens, Generate, Prefill, PromptEnd, Render

_ANSWER = "Well, yes."
_ASKING_ROLES = ("user", "tool")
_SYSTEM_ROLES = ("system", "developer")
_MAYBE_LARGE = re.compile(rb"[0-9]{19}")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a chat template is to show; decoded once for each command, and never changed.

    Args:
        messages: the client's messages.
        tools: the tools that the client offers, without what is null.
        template_kwargs: further variables of the template.
        prompt_end: where the prompt ends; "continued" is within the content of the last message.
    """

    messages: list[JsonObject]
    tools: list[JsonObject]
    template_kwargs: JsonObject
    prompt_end: PromptEnd

    @property
    def is_continued(self) -> bool:
        """Whether the prompt ends inside the last message."""
        return self.prompt_end.startswith("continued")

    @property
    def is_asking(self) -> bool:
        """Whether the prompt ends after these messages, and no further one is expected."""
        return self.is_continued or self.messages[-1].get("role") in _ASKING_ROLES

    def as_later_turn(self) -> Conversation:
        """Return the messages behind a question and an answer, without instructions.

        What the template writes behind that answer is `behind_answer` of the text.
        """
        earlier = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": _ANSWER}]
        asked = [each for each in self.messages if each.get("role") not in _SYSTEM_ROLES]
        return replace(self, messages=[*earlier, *asked])

    def behind_answer(self, text: str) -> str:
        """Return what a template wrote behind the answer of `as_later_turn`.

        Raises:
            InvalidRequest: it did not write that answer.
        """
        _, found, behind = text.partition(_ANSWER)
        if not found:
            raise InvalidRequest(
                "context: the model's chat template does not show earlier answers", param="context"
            )
        return behind


NO_CONVERSATION = Conversation([], [], {}, "opened")
"""What a raw prompt shows."""


def read_conversation(
    command: Generate | Prefill | Render | CountTokens, system_prompt: str = ""
) -> Conversation:
    """Return the conversation of a command.

    Args:
        system_prompt: instructions for a conversation that begins without any.

    Raises:
        InvalidRequest: messages or tools are no list of objects, or no JSON.
    """
    messages = _objects(command.messages, "messages")
    return Conversation(
        messages=_instructed(messages, system_prompt),
        tools=without_nulls(_objects(command.tools, "tools")),
        template_kwargs=plain_json(command.template_kwargs),
        prompt_end=_prompt_end(command.prompt_end, messages),
    )


def _instructed(messages: list[JsonObject], system_prompt: str) -> list[JsonObject]:
    begins_with = messages[0].get("role") if messages else None
    if not system_prompt or begins_with in (None, "system", "developer"):
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def _prompt_end(asked: PromptEnd, messages: list[JsonObject]) -> PromptEnd:
    if asked == "continued_content":
        return "continued"
    if asked != "continued" or not messages:
        return asked
    thinks = reasoning_of(messages[-1]) and not _has_text(messages[-1].get("content"))
    return "continued_reasoning" if thinks else "continued"


def _has_text(content: Any) -> bool:
    if not isinstance(content, list):
        return bool(content)
    return any(not isinstance(part, dict) or part.get("text") for part in content)


def _objects(text: bytes, name: str) -> list[JsonObject]:
    try:
        found = _decoded(text)
        if _MAYBE_LARGE.search(text):
            msgspec.msgpack.encode(found)
    except OverflowError:
        raise InvalidRequest(
            "A whole number in the request does not fit into 64 bits", param="body"
        ) from None
    except RecursionError:
        raise InvalidRequest(f"{name} are nested too deeply", param=name) from None
    except ValueError as error:
        raise InvalidRequest(f"{name} are not valid JSON: {error}", param=name) from None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidRequest(f"{name} must be a list of objects", param=name)
    return found


def _decoded(text: bytes) -> Any:
    """Return what JSON text says.

    NaN and numbers beyond a float's range are taken as Python's, half a surrogate pair as U+FFFD.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(without_lone_escapes(text))
