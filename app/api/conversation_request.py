"""Owns how a conversation becomes a command to an engine, whatever the dialect; no I/O."""

from __future__ import annotations

from app.api.schemas.conversation import Conversation, RestoreCacheRequest
from app.errors import InvalidRequest
from app.protocol import Prefill, PromptEnd


def to_prefill(body: RestoreCacheRequest, request_id: str) -> Prefill:
    """Return the engine's command for a prompt that is to be kept ready.

    Raises:
        InvalidRequest: the last message cannot be continued.
    """
    return Prefill(
        request_id=request_id,
        messages=body.raw_messages(),
        tools=body.raw_tools(),
        template_kwargs=body.template_kwargs,
        prompt_end=prompt_end(body),
    )


def prompt_end(body: Conversation) -> PromptEnd:
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
    return "continued"
