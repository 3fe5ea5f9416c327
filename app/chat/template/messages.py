"""Owns turning a client's messages into what a chat template can take.

Must not know templates beyond their traits. The client's objects are never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.base.json_types import JsonObject, plain_json
from app.chat.template.traits import TemplateTraits
from app.errors import InvalidRequest

_PARTS = {"text": "text"}  # the types of parts and the fields with their text
_ASSISTANT_PARTS = {**_PARTS, "refusal": "refusal"}
_REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")  # the first given one counts


def normalise(messages: list[JsonObject], traits: TemplateTraits) -> list[JsonObject]:
    """Return `messages` as a template with these `traits` renders them as meant.

    What is the same in both is shared: templates cannot change what they are given.

    Content becomes text (parts are joined by newlines) unless the template takes parts; missing
    content becomes "", or the text of the assistant's `refusal`; `developer` becomes `system`
    where the template does not know it; null fields are dropped. Reasoning gets the names that
    templates know it by, as in transformers.

    Tool arguments become objects, or text where the template wants text. Arguments that are no
    JSON object stay text where the template shows text, and else become an object with the text
    in it, `{"arguments": "…"}`: so nothing that the model once wrote is lost, and one malformed
    call does not end a conversation. A tool result without a `name` gets that of its call.

    Raises:
        InvalidRequest: content that is neither text nor text parts; `param` names the place.
    """
    result = [_message(message, index, traits) for index, message in enumerate(messages)]
    _name_results(result)
    return result


def _message(message: JsonObject, index: int, traits: TemplateTraits) -> JsonObject:
    result = _with_reasoning({key: value for key, value in message.items() if value is not None})
    role = result.get("role")
    if role == "developer" and not traits.knows_developer_role:
        result["role"] = "system"
    if "tool_calls" in result:
        calls = result.pop("tool_calls")
        if calls:
            result["tool_calls"] = [_tool_call(call, traits) for call in calls]
    # Tool results are handed over as text: templates that take parts often write them as JSON.
    keep_parts = traits.takes_content_parts and role != "tool"
    fields = _ASSISTANT_PARTS if role == "assistant" else _PARTS
    given = result.get("content", "")
    if role == "assistant" and given == "" and isinstance(result.get("refusal"), str):
        given = result["refusal"]
    content = _content(given, f"messages[{index}].content", fields, keep_parts)
    if not content and traits.wants_null_content and "tool_calls" in result:
        content = None
    result["content"] = content
    if content and traits.refuses_thinking_beside_calls and "tool_calls" in result:
        result.pop("thinking", None)
    return result


def _with_reasoning(message: JsonObject) -> JsonObject:
    """Return a message whose reasoning has the two names that templates read."""
    given = [message[name] for name in _REASONING_FIELDS if name in message]
    return {"thinking": given[0], **message, "reasoning_content": given[0]} if given else message


def reasoning_of(message: JsonObject) -> str:
    """Return the reasoning of a client's message; "" where there is none that is text."""
    given = (message.get(name) for name in _REASONING_FIELDS)
    first = next((text for text in given if text is not None), "")
    return first if isinstance(first, str) else ""


def _name_results(messages: list[JsonObject]) -> None:
    names: dict[str, Any] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                names[str(call.get("id"))] = call["function"].get("name")
        name = names.get(str(message.get("tool_call_id")))
        if message.get("role") == "tool" and name:
            message.setdefault("name", name)


def _content(
    content: Any, where: str, fields: Mapping[str, str], keep_parts: bool
) -> str | list[JsonObject] | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"{where} must be text or a list of parts", param=where)
    texts = [_part_text(part, f"{where}[{index}]", fields) for index, part in enumerate(content)]
    if keep_parts:
        return [{"type": "text", "text": text} for text in texts]
    return "\n".join(texts)


def _part_text(part: Any, where: str, fields: Mapping[str, str]) -> str:
    if not isinstance(part, dict):
        raise InvalidRequest(f"{where} must be an object", param=where)
    kind = part.get("type")
    field = fields.get(kind) if isinstance(kind, str) else None
    if field is None:
        raise InvalidRequest(
            f"{where}.type {kind!r} is not supported: only 'text' is", param=f"{where}.type"
        )
    text = part.get(field)
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}.{field} must be text", param=f"{where}.{field}")
    return text


def _tool_call(call: Any, traits: TemplateTraits) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    function = call["function"]
    arguments = _arguments(function.get("arguments"), traits)
    function = {**function, "arguments": arguments}
    return {**call, "type": call.get("type") or "function", "function": function}


def _arguments(arguments: Any, traits: TemplateTraits) -> Any:
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        arguments = {}
    if not traits.wants_object_arguments:
        is_text = isinstance(arguments, str)
        return arguments if is_text else json.dumps(arguments, ensure_ascii=False)
    parsed = _parsed(arguments)
    if isinstance(parsed, dict):
        return parsed
    return arguments if traits.takes_text_arguments else {"arguments": arguments}


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return plain_json(json.loads(arguments))
    except (ValueError, RecursionError):
        return arguments
