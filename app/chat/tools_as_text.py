"""Owns showing tools, calls and results as text to a model whose template cannot show them.

Pure; must not know how templates are rendered. Where the model's family has a way of its own to
show tools, that is taken. Else calls are asked for as Hermes has them, and read as Hermes and the
family have them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from app.base.json_types import JsonObject
from app.chat.parsing.either_parser import EitherParser
from app.chat.parsing.stream_parser import StreamParser
from app.chat.template.traits import TemplateTraits
from app.chat.tool_formats import FORMATS, OfferedTools, ToolFormat, detect, hermes
from app.chat.tool_formats.base import MadeCalls

GENERIC = replace(hermes.FORMAT, name="generic", recognises=lambda source: not source)
"""The format of calls that models of no known family are asked for."""

_TELLING = ("system", "developer")
_BEFORE_TOOLS = (
    "# Tools\n\n"
    "You can call these functions. Each is described in a line of JSON, its parameters by a "
    "JSON schema:\n<tools>\n"
)
_AFTER_TOOLS = (
    "\n</tools>\n\n"
    "To call a function, write its name and its arguments as a JSON object between these tags, "
    "and nothing after them. For several calls write several blocks.\n"
    f'{hermes.OPEN}\n{{"name": <function name>, "arguments": <object>}}\n{hermes.CLOSE}\n'
    "What a function returns comes back between <tool_response> and </tool_response>."
)


def format_for(template_source: str, traits: TemplateTraits, name: str | None = None) -> ToolFormat:
    """Return the format that calls are read in.

    It is the generic one where the template shows tools in a way nobody here knows, or does not
    show them and the model's family has no way that is known. Calls of a family that is known are
    read then beside generic ones.

    Args:
        name: the format to take whatever the template shows; None leaves that to the template.

    Raises:
        KeyError: there is no format of that name; the message lists those there are.
    """
    if name is not None:
        return _by_name(name)
    known = detect(template_source)
    if known is None or known.parser is GENERIC.parser:
        return known if known and traits.shows_tools else GENERIC
    if traits.shows_tools or known.always:
        return known
    return with_generic_calls(known, known if known.show else GENERIC)


def with_generic_calls(known: ToolFormat, asked_for: ToolFormat) -> ToolFormat:
    """Return `asked_for` with a parser of the known format's calls and the generic one's.

    Answers are held to those of either too.
    """

    def parser(offered: OfferedTools) -> StreamParser:
        return EitherParser(partial(known.parser, offered), partial(GENERIC.parser, offered))

    other = known if asked_for is GENERIC else GENERIC
    tags = tuple(dict.fromkeys((*known.tags, *GENERIC.tags)))
    return replace(asked_for, parser=parser, tags=tags, also=other)


def _by_name(name: str) -> ToolFormat:
    named = {known.name: known for known in (*FORMATS, GENERIC)}
    if name not in named:
        raise KeyError(f"'{name}' is no tool format; there are {', '.join(sorted(named))}")
    return named[name]


def presented(
    messages: list[JsonObject],
    tools: list[JsonObject] | None,
    tool_format: ToolFormat,
    traits: TemplateTraits,
) -> tuple[list[JsonObject], list[JsonObject] | None]:
    """Return the messages and tools to hand to a template, so that it shows all of them.

    Args:
        messages: as `app.chat.template.messages.normalise` returns them; not changed.
        tools: OpenAI tool objects, if some are offered.
        tool_format: what `format_for` returned.
        traits: those of the template.
    """
    if not traits.keeps_late_system:
        messages = without_late_system(messages)
    is_left_out = tool_format.show is not None and not traits.shows_tools
    if tool_format.name == GENERIC.name:
        messages = as_text(messages, tools or [])
        tools = None
    elif tool_format.write and (is_left_out or not traits.shows_calls):
        messages = [_with_calls(message, tool_format.write) for message in messages]
    elif tool_format.write and not traits.shows_calls_beside_text:
        messages = [
            _with_calls(message, tool_format.write) if message["content"] else message
            for message in messages
        ]
    if tools and tool_format.show and is_left_out:
        messages = _with_tools(messages, tool_format.show(tools))
        tools = None
    if not traits.knows_system_role:
        messages = without_system(messages)
    return messages, tools


def as_text(messages: list[JsonObject], tools: list[JsonObject]) -> list[JsonObject]:
    """Return messages that say the same without tools, calls and the role `tool`.

    The tools follow the instructions of the first message, if that has some. Results become a
    message of the user, one with what the user said next: many templates take no two in a row.
    """
    result: list[JsonObject] = []
    after_result = False
    for message in messages:
        is_result = message["role"] == "tool"
        shown = _shown(message)
        joins = is_result or after_result
        if joins and result and result[-1]["role"] == shown["role"] == "user":
            result[-1] = _joined(result[-1], shown)
        else:
            result.append(shown)
        after_result = is_result
    return _with_tools(result, _tools_prompt(tools)) if tools else result


def _with_tools(messages: list[JsonObject], text: str) -> list[JsonObject]:
    """Return messages whose instructions end with what `text` says of the tools."""
    shown: JsonObject = {"role": "system", "content": text}
    if messages and messages[0]["role"] in _TELLING:
        first = {**messages[0], "content": _joined(messages[0], shown)["content"]}
        return [first, *messages[1:]]
    return [shown, *messages]


def without_system(messages: list[JsonObject]) -> list[JsonObject]:
    """Return messages where the user says what the instructions at the beginning say."""
    n_system = next((at for at, m in enumerate(messages) if m["role"] != "system"), len(messages))
    if not n_system:
        return messages
    first, *others = ({**message, "role": "user"} for message in messages[:n_system])
    rest = messages[n_system:]
    if rest and rest[0]["role"] == "user":
        others, rest = [*others, rest[0]], rest[1:]
    for message in others:
        first = _joined(first, message)
    return [first, *rest]


def without_late_system(messages: list[JsonObject]) -> list[JsonObject]:
    """Return messages whose only instructions are the first message.

    Others at the beginning are added to it. Later ones are added to what the user said before
    them, else to what the user says after them, so that a conversation that goes on keeps its
    beginning.
    """
    if not any(message["role"] in _TELLING for message in messages[1:]):
        return messages
    result: list[JsonObject] = []
    told: JsonObject | None = None  # after an answer or a result: waits for what the user says
    for message in messages:
        role, last = message["role"], result[-1]["role"] if result else ""
        if role in _TELLING and told is None and last in (*_TELLING, "user"):
            result[-1] = _joined(result[-1], message)
        elif role in _TELLING and result:
            shown = {**message, "role": "user"}
            told = _joined(told, shown) if told else shown
        elif told and role == "user":
            result.append(_joined(told, message))
            told = None
        else:
            result += [told, message] if told else [message]
            told = None
    return [*result, told] if told else result


def _tools_prompt(tools: Sequence[Mapping[str, Any]]) -> str:
    return _BEFORE_TOOLS + "\n".join(map(_json, tools)) + _AFTER_TOOLS


def _shown(message: JsonObject) -> JsonObject:
    if message["role"] == "tool":
        text = f"<tool_response>\n{message['content']}\n</tool_response>"
        return {"role": "user", "content": text}
    return _with_calls(message, hermes.write)


def _with_calls(message: JsonObject, write: Callable[[MadeCalls], str]) -> JsonObject:
    """Return a message that has its calls in its content."""
    calls = message.get("tool_calls")
    if not calls:
        return message
    shown = {key: value for key, value in message.items() if key != "tool_calls"}
    made = {"role": "assistant", "content": write([_made(call) for call in calls])}
    return _joined(shown, made, between="\n")


def _made(call: Any) -> tuple[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return "", call
    return str(function.get("name", "")), function.get("arguments", {})


def _joined(before: JsonObject, after: JsonObject, between: str = "\n\n") -> JsonObject:
    """Return `before` with the content of `after` added; parts stay parts."""
    first, second = before["content"] or "", after["content"] or ""
    if isinstance(first, str) and isinstance(second, str):
        content: Any = between.join(text for text in (first, second) if text)
    else:
        content = [*_parts(first), *_parts(between), *_parts(second)]
    return {**before, "content": content}


def _parts(content: Any) -> list[JsonObject]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
