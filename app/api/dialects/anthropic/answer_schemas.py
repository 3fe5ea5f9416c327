"""Owns the response schemas of `/v1/messages`; must not know handlers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class OutputTokensDetails(BaseModel):
    """How many generated tokens are reasoning."""

    thinking_tokens: int


class MessageUsage(BaseModel):
    """Token counts: each token of the prompt is in one of the first three."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputTokensDetails


class MessageResponse(BaseModel):
    """An answer; `content` has blocks of type `thinking`, `text` and `tool_use`."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    usage: MessageUsage


class TokenCountResponse(BaseModel):
    """How many tokens a prompt has."""

    input_tokens: int


class MessageErrorDetail(BaseModel):
    """An error; `param` and `details` are only set where there are any."""

    type: str
    message: str
    param: str | None = None
    details: dict[str, Any] | None = None


class MessageErrorBody(BaseModel):
    """Every error response of these paths."""

    type: Literal["error"]
    error: MessageErrorDetail
    request_id: str | None
