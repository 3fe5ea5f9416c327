"""Owns turning a conversation into an engine command, for every dialect; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.schemas.conversation import ConversationFields, RestoreCacheRequest
from app.base.json_types import as_json
from app.errors import InvalidRequest
from app.protocol import Prefill, PromptEnd
from app.web.json_body import raw_fields


@dataclass(frozen=True, slots=True)
class ConversationText:
    """The JSON text of a conversation, for the engine."""

    messages: bytes
    tools: bytes


def conversation_text(data: bytes, body: ConversationFields) -> ConversationText:
    """Return the messages and tools of a request as JSON, byte for byte as the client sent them.

    Args:
        data: the request's body.
        body: the same, validated.
    """
    try:
        given = raw_fields(data, ("messages", "tools"))
    except InvalidRequest:  # pydantic accepts JSON that msgspec does not, such as NaN
        return ConversationText(as_json(body.plain_messages()), as_json(body.plain_tools()))
    return ConversationText(
        messages=bytes(given["messages"]),
        tools=bytes(given["tools"]) if body.tools else b"[]",
    )


def to_prefill(data: bytes, body: RestoreCacheRequest, request_id: str) -> Prefill:
    """Return the command that prefills and caches a conversation.

    Args:
        data: the request's body.
        body: the same, validated.

    Raises:
        InvalidRequest: the last message cannot be continued.
    """
    text = conversation_text(data, body)
    return Prefill(
        request_id=request_id,
        messages=text.messages,
        tools=text.tools,
        template_kwargs=body.template_kwargs,
        prompt_end=prompt_end(body),
    )


def prompt_end(body: ConversationFields) -> PromptEnd:
    """Return where the prompt of a conversation ends.

    Raises:
        InvalidRequest: the last message cannot be continued.
    """
    if not body.continue_final_message:
        return "closed" if body.add_generation_prompt is False else "opened"
    if body.add_generation_prompt:
        raise InvalidRequest(
            "continue_final_message and add_generation_prompt exclude each other",
            param="continue_final_message",
        )
    last = body.messages[-1]
    if last.role != "assistant" or last.tool_calls:
        raise InvalidRequest(
            "continue_final_message needs a last message by the assistant, without tool calls",
            param="messages",
        )
    match body.continue_final_message:
        case "content":
            return "continued_content"
        case "reasoning" | "reasoning_content":
            return "continued_reasoning"
        case _:
            return "continued"
