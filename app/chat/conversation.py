"""Owns turning a client's messages into what a chat template can take.

Must not know templates beyond their traits. The client's objects are never changed.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from app.chat.traits import TemplateTraits
from app.errors import InvalidRequest

JsonObject = dict[str, Any]


def normalise(messages: list[JsonObject], traits: TemplateTraits) -> list[JsonObject]:
    """Return a copy of `messages` that a template with these `traits` renders as meant.

    Content becomes text (parts are joined by newlines) unless the template takes parts; missing
    content becomes ""; `developer` becomes `system` where the template does not know it; tool
    arguments become objects, or text where the template wants text; null fields are dropped.

    Raises:
        InvalidRequest: content that is neither text nor text parts; `param` names the place.
    """
    try:
        copies = copy.deepcopy(messages)
    except RecursionError:
        raise InvalidRequest("messages are nested too deeply", param="messages") from None
    return [_message(message, index, traits) for index, message in enumerate(copies)]


def _message(message: JsonObject, index: int, traits: TemplateTraits) -> JsonObject:
    result = {key: value for key, value in message.items() if value is not None}
    role = result.get("role")
    if role == "developer" and not traits.knows_developer_role:
        result["role"] = "system"
    if "tool_calls" in result:
        calls = result.pop("tool_calls")
        if calls:
            result["tool_calls"] = [_tool_call(call, traits) for call in calls]
    # Tool results are handed over as text: templates that take parts often write them as JSON.
    keep_parts = traits.takes_content_parts and role != "tool"
    content = _content(result.get("content", ""), f"messages[{index}].content", keep_parts)
    if not content and traits.wants_null_content and "tool_calls" in result:
        content = None
    result["content"] = content
    return result


def _content(content: Any, where: str, keep_parts: bool) -> str | list[JsonObject] | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"{where} must be text or a list of parts", param=where)
    texts = [_part_text(part, f"{where}[{index}]") for index, part in enumerate(content)]
    if keep_parts:
        return [{"type": "text", "text": text} for text in texts]
    return "\n".join(texts)


def _part_text(part: Any, where: str) -> str:
    if not isinstance(part, dict):
        raise InvalidRequest(f"{where} must be an object", param=where)
    if part.get("type") != "text":
        raise InvalidRequest(
            f"{where}.type {part.get('type')!r} is not supported: only 'text' is",
            param=f"{where}.type",
        )
    text = part.get("text")
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}.text must be text", param=f"{where}.text")
    return text


def _tool_call(call: Any, traits: TemplateTraits) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    function = call["function"]
    function["arguments"] = _arguments(
        function.get("arguments"), as_object=traits.wants_object_arguments
    )
    return {**call, "type": call.get("type") or "function"}


def _arguments(arguments: Any, *, as_object: bool) -> Any:
    """Return arguments as an object or as JSON text; what does not parse stays text."""
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {} if as_object else "{}"
    if not as_object:
        return (
            arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        )
    if not isinstance(arguments, str):
        return arguments
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return parsed if isinstance(parsed, dict) else arguments
