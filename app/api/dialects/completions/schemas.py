"""Owns the request and response schemas of `/v1/completions`; must not know handlers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from app.api.schemas.answer import TimingsBody, UsageBody
from app.api.schemas.common import Lenient
from app.api.schemas.constraints import ConstraintFields
from app.api.schemas.raw_prompt import MAX_PROMPT_CHARS, Prompts, RawSamplingFields, separate
from app.web.validation import field_error

DEFAULT_MAX_TOKENS = 16  # OpenAI's
MAX_LOGPROBS = 5
MAX_ANSWERS = 16
MAX_CHOICES = 64


class CompletionStreamOptions(Lenient):
    """Options of a streamed answer."""

    include_usage: bool | None = None


class CompletionRequest(ConstraintFields, RawSamplingFields, Lenient):
    """Body of `POST /v1/completions`: OpenAI's fields and llama-server's samplers."""

    model: str | None = Field(None, min_length=1, max_length=255)
    prompt: Prompts | None = Field(
        description="A text, token ids, or up to 64 of these; null is an empty text."
    )
    suffix: str | None = Field(
        None, max_length=MAX_PROMPT_CHARS, description="Text after the answer (fill-in-the-middle)."
    )
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS, description="Answers to each prompt.")
    best_of: int | None = Field(
        None,
        ge=1,
        le=MAX_ANSWERS,
        description="Answers to generate; the best n are returned.",
    )
    echo: bool | None = Field(None, description="Prepend the prompt to each answer.")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Most likely tokens to return for each.",
    )
    stream: bool | None = False
    stream_options: CompletionStreamOptions | None = None
    speculate: bool | None = Field(None, description="Whether speculative decoding may be used.")

    @model_validator(mode="after")
    def _answers_fit(self) -> Self:
        n = self.n or 1
        if self.best_of is not None and self.best_of < n:
            raise field_error("best_of", f"must be at least n, which is {n}")
        if self.stream and self.n_generated > n:
            raise field_error("best_of", "cannot be combined with stream")
        field = "best_of" if self.n_generated > n else "n"
        if len(separate(self.prompt)) * self.n_generated > MAX_CHOICES:
            raise field_error(field, f"a request may have at most {MAX_CHOICES} answers in total")
        if self.echo and self.suffix:
            raise field_error("echo", "cannot be combined with suffix")
        return self

    @property
    def n_generated(self) -> int:
        """How many answers to each prompt are generated."""
        return self.best_of or self.n or 1


class LegacyLogprobs(BaseModel):
    """Log probabilities; null for the first token of a prompt. Offsets are in characters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One answer; answer `i` to prompt `p` has the index `p * n + i`."""

    text: str
    index: int
    logprobs: LegacyLogprobs | None = Field(description="Only where `logprobs` is a number.")
    finish_reason: Literal["stop", "length"]


class CompletionResponse(BaseModel):
    """Answer of `POST /v1/completions` where `stream` is false."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: UsageBody
    timings: TimingsBody
