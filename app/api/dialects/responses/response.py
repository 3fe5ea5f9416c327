"""Owns the response object: all its keys, as OpenAI's clients expect them; no I/O."""

from __future__ import annotations

import time
from typing import Any

from app.api.dialect import ServedModel
from app.api.dialects.responses.schemas import ResponsesRequest
from app.base.json_types import JsonObject
from app.protocol import Generate, Usage


def response_body(
    response_id: str,
    body: ResponsesRequest,
    model: ServedModel,
    command: Generate,
    *,
    is_stored: bool = False,
) -> JsonObject:
    """Return the response object of an answer that has begun.

    Args:
        response_id: `resp_…`.
        body: the request.
        model: the one that answers.
        command: what the engine was told, with the defaults of what the request left out.
        is_stored: whether the response is kept.
    """
    reasoning = body.reasoning
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "model": model.reply_name,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": (reasoning.summary or reasoning.generate_summary) if reasoning else None,
        },
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": is_stored,
        "system_fingerprint": model.info.fingerprint,
        "temperature": command.sampling.temperature,
        "text": _text(body),
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools or [],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": command.sampling.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
        "metadata": body.metadata or {},
    }


def _text(body: ResponsesRequest) -> JsonObject:
    given = body.text
    form: JsonObject = {"type": "text"}
    if given and given.format:
        form = given.format.model_dump(by_alias=True, exclude_unset=True)
    text: JsonObject = {"format": form}
    if given and given.verbosity:
        text["verbosity"] = given.verbosity
    return text


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return the `usage` object of a response that has ended."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
