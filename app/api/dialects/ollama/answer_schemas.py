"""Owns the response schemas of Ollama's answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class OllamaAnswerFunction(BaseModel):
    """A function the model calls; `arguments` is an object."""

    index: int
    name: str
    arguments: dict[str, Any]


class OllamaAnswerCall(BaseModel):
    """A tool call of the answer."""

    id: str
    function: OllamaAnswerFunction


class OllamaAnswerMessage(BaseModel):
    """The assistant's answer, or a part of it."""

    role: Literal["assistant"]
    content: str
    thinking: str | None = None
    tool_calls: list[OllamaAnswerCall] | None = None


class OllamaTopLogprob(BaseModel):
    """A token with its log probability and bytes."""

    token: str
    logprob: float
    bytes: list[int]


class OllamaLogprob(OllamaTopLogprob):
    """A generated token and the most likely alternatives."""

    top_logprobs: list[OllamaTopLogprob]


class OllamaAnswer(BaseModel):
    """What both answers have; times are in nanoseconds, and only at the end of an answer."""

    model: str
    created_at: str
    done: bool
    logprobs: list[OllamaLogprob] | None = Field(None, description="Only on request.")
    done_reason: Literal["stop", "length", "load", "unload"] | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    cached_tokens: int | None = Field(None, description="Of the prompt; Ollama has no such field.")


class OllamaChatResponse(OllamaAnswer):
    """Answer of `POST /api/chat` where `stream` is false; each line of a stream is one, too."""

    message: OllamaAnswerMessage


class OllamaGenerateResponse(OllamaAnswer):
    """Answer of `POST /api/generate` where `stream` is false; so is each line of a stream."""

    response: str
    thinking: str | None = None
    context: list[int] | None = Field(None, description="To be sent with the next prompt.")


class OllamaTokenizeResponse(BaseModel):
    """Answer of `POST /api/tokenize`."""

    model: str
    tokens: list[int]


class OllamaDetokenizeResponse(BaseModel):
    """Answer of `POST /api/detokenize`."""

    model: str
    content: str
