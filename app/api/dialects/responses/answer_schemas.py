"""Owns the response schemas of `/responses` and `/responses/input_tokens`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from app.base.json_types import JsonObject


class InputTokensDetails(BaseModel):
    """What of the prompt the prompt cache saved; `cache_write_tokens` is always 0."""

    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(BaseModel):
    """What of the answer was reasoning."""

    reasoning_tokens: int


class ResponsesUsage(BaseModel):
    """Token counts."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponsesError(BaseModel):
    """Why a response failed."""

    code: str
    message: str


class IncompleteDetails(BaseModel):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class ResponseObject(BaseModel):
    """Answer of `POST /responses` where `stream` is false; also part of the stream's events."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed", "cancelled", "queued"]
    background: bool
    error: ResponsesError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[JsonObject]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: JsonObject
    safety_identifier: str | None
    service_tier: str
    store: bool
    system_fingerprint: str
    temperature: float
    text: JsonObject
    tool_choice: Any
    tools: list[JsonObject]
    top_logprobs: int
    top_p: float
    truncation: str
    usage: ResponsesUsage | None
    user: str | None
    metadata: JsonObject


class InputTokensResponse(BaseModel):
    """Answer of `POST /responses/input_tokens`."""

    object: Literal["response.input_tokens"]
    input_tokens: int
