"""Owns the response schemas of `/chat/completions` and `/apply-template`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas.answer import TimingsBody, UsageBody
from app.api.schemas.cache import CacheBody


class AnswerFunction(BaseModel):
    """A function the model calls; `arguments` is JSON text."""

    name: str
    arguments: str


class AnswerToolCall(BaseModel):
    """A tool call of the answer."""

    id: str
    type: Literal["function"]
    function: AnswerFunction


class AnswerMessage(BaseModel):
    """The assistant's answer."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | None = None
    tool_calls: list[AnswerToolCall] | None = None


class ChatTopLogprob(BaseModel):
    """A token with its log probability and bytes."""

    token: str
    logprob: float
    bytes: list[int]


class ChatTokenLogprob(ChatTopLogprob):
    """A generated token and the most likely alternatives."""

    top_logprobs: list[ChatTopLogprob]


class ChoiceLogprobs(BaseModel):
    """Log probabilities of an answer; `refusal` is always null."""

    content: list[ChatTokenLogprob]
    refusal: None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: ChoiceLogprobs | None = Field(description="Only where `logprobs` is true.")
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatResponse(BaseModel):
    """Answer of `POST /chat/completions` where `stream` is false."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: UsageBody
    timings: TimingsBody
    cache: CacheBody | None = Field(None, description="Only where `explain_cache` is true.")


class ChatInputTokens(BaseModel):
    """Answer of `POST /chat/completions/input_tokens`."""

    input_tokens: int
    object: Literal["response.input_tokens"]


class ApplyTemplateResponse(BaseModel):
    """Answer of `POST /apply-template`."""

    prompt: str
