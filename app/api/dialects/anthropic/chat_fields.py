"""Owns writing a request of Anthropic's as OpenAI's chat body; no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.api.chat.commands import Chat, chat_of
from app.api.dialects.anthropic.conversation import Conversation, conversation_of
from app.api.dialects.anthropic.schemas import CustomTool, MessagesRequest
from app.api.dialects.anthropic.signatures import Signer
from app.api.schemas.sampling import InferenceConfigs
from app.base.json_types import JsonObject
from app.errors import InvalidRequest
from app.protocol import CacheMark, Generate

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = {"xhigh": "high", "max": "high"}  # names that chat templates do not know
_PLACE = re.compile(r"(messages|tools)\[(\d+)\](.*)")
_FORM = "output_config.format"
_SCHEMA = "response_format.json_schema.schema"
_RENAMED = {
    "stop": "stop_sequences",
    "reasoning_budget": "thinking.budget_tokens",
    "reasoning_effort": "output_config.effort",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "continue_final_message": "messages",
    "enable_thinking": "thinking",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Anthropic's names of a chat body's fields.

    Args:
        messages: those of its messages.
        tools: the places of its tools in the request.
        form: that of the answer's form.
    """

    messages: Sequence[str] = ()
    tools: Sequence[int] = ()
    form: str = _FORM

    def of(self, param: str) -> str:
        """Return the name of a field."""
        if found := _PLACE.fullmatch(param):
            kind, number, rest = found[1], int(found[2]), found[3]
            if kind == "messages" and number < len(self.messages):
                return self.messages[number]
            if kind == "tools" and number < len(self.tools):
                rest = rest.replace(".function", "", 1).replace(".parameters", ".input_schema", 1)
                return f"tools[{self.tools[number]}]{rest}"
            return kind
        if param.startswith("response_format"):
            return param.replace(_SCHEMA, f"{self.form}.schema", 1).replace(
                "response_format", self.form, 1
            )
        head, dot, rest = param.partition("[")
        return _RENAMED.get(head, head) + dot + rest


@dataclass(frozen=True, slots=True)
class Mapped:
    """A request as a chat request.

    Args:
        chat: the chat request.
        names: the names of its fields in the request.
        marks: the places that are to be cached.
    """

    chat: Chat
    names: Names
    marks: Sequence[CacheMark] = ()

    def completed(self, command: Generate) -> Generate:
        """Return a command with the marks, and with Anthropic's name of its constraint's field."""
        command = msgspec.structs.replace(command, cache_marks=list(self.marks))
        if command.constraint is None:
            return command
        param = self.names.of(command.constraint.param)
        constraint = msgspec.structs.replace(command.constraint, param=param)
        return msgspec.structs.replace(command, constraint=constraint)


def mapped(body: MessagesRequest, signer: Signer, n_earlier: int = 0) -> Mapped:
    """Return a request as a chat request.

    Args:
        body: the request.
        signer: tells which reasoning is this service's.
        n_earlier: how many of its messages the service had kept.

    Raises:
        InvalidRequest: a value is invalid; `param` names it as Anthropic does.
    """
    conversation = conversation_of(body, signer, n_earlier)
    form = body.format
    names = Names(
        messages=[turn.origin for turn in conversation.turns],
        tools=[number for number, _ in _own_tools(body)],
        form=form[0] if form else _FORM,
    )
    fields = {
        **_sampling(body),
        **_tools(body),
        **_thinking(body),
        **_messages(conversation),
        "model": body.model,
        "stream": body.stream,
        "stop": body.stop_sequences or None,
    }
    has_text = body.tool_choice is None or body.tool_choice.type in ("auto", "none")
    if form and has_text:  # a required call leaves no text to hold to a form
        schema = {"name": "answer", "schema": form[1].schema_}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    given = {name: value for name, value in fields.items() if value is not None}
    return Mapped(chat_of(given, names.of), names, _marks(body, conversation))


def _marks(body: MessagesRequest, conversation: Conversation) -> list[CacheMark]:
    marks = conversation.marks
    if any(tool.cache_control for _, tool in _own_tools(body)):
        marks.insert(0, CacheMark())
    if body.cache_control:
        marks.append(CacheMark(messages=len(conversation.turns)))
    return marks


def _sampling(body: MessagesRequest) -> JsonObject:
    given = body.model_dump(include=set(InferenceConfigs.model_fields), exclude_none=True)
    if body.is_prefill:  # the one token is not shown
        given["max_tokens"] = 1
    return given


def _messages(conversation: Conversation) -> JsonObject:
    fields: JsonObject = {"messages": [turn.message for turn in conversation.turns]}
    if conversation.is_continued:
        fields["continue_final_message"] = True
    return fields


def _own_tools(body: MessagesRequest) -> list[tuple[int, CustomTool]]:
    """Return the tools that clients run, with their places; Anthropic's own are left out."""
    every = enumerate(body.tools or ())
    return [(number, tool) for number, tool in every if isinstance(tool, CustomTool)]


def _tools(body: MessagesRequest) -> dict[str, Any]:
    own = [tool for _, tool in _own_tools(body)]
    fields: dict[str, Any] = {}
    if own:
        fields["tools"] = [{"type": "function", "function": _function(tool)} for tool in own]
    choice = body.tool_choice
    if choice is None or (choice.type == "auto" and not own):
        return fields
    if choice.type == "tool":
        _check_offered(choice.name, body, own)
        fields["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    else:
        fields["tool_choice"] = _CHOICES[choice.type]
    if choice.disable_parallel_tool_use:
        fields["parallel_tool_calls"] = False
    return fields


def _check_offered(name: str | None, body: MessagesRequest, own: Sequence[CustomTool]) -> None:
    if name in {tool.name for tool in own}:
        return
    others = {tool.name for tool in body.tools or () if not isinstance(tool, CustomTool)}
    problem = "a tool of Anthropic's servers" if name in others else "not one of the tools"
    raise InvalidRequest(f"tool_choice.name: '{name}' is {problem}", param="tool_choice.name")


def _function(tool: CustomTool) -> JsonObject:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
        "strict": tool.strict,
    }
    return {name: value for name, value in function.items() if value is not None}


def _thinking(body: MessagesRequest) -> dict[str, Any]:
    """Return the fields of reasoning: it is off unless asked for; `adaptive` is the model's way."""
    fields: dict[str, Any] = {"reasoning_format": "auto"}  # it has blocks of its own
    thinking = body.thinking
    match thinking.type if thinking else "disabled":
        case "enabled":
            fields["enable_thinking"] = True
            fields["reasoning_budget"] = thinking.budget_tokens if thinking else None
        case "disabled":
            fields["enable_thinking"] = False
        case _:
            pass
    if body.output_config and body.output_config.effort:
        effort = body.output_config.effort
        fields["reasoning_effort"] = _EFFORTS.get(effort, effort)
    return fields
