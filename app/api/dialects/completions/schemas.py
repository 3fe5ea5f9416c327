"""Owns what `/v1/completions` takes and what it answers with; must not know handlers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from app.api.schemas.answer import TimingsBody, UsageBody
from app.api.schemas.common import Lenient
from app.api.schemas.constraints import ConstraintFields
from app.api.schemas.raw_prompt import MAX_PROMPT_CHARS, Prompts, RawSamplingFields, separate
from app.web.validation import misfit

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
        None, max_length=MAX_PROMPT_CHARS, description="Text behind the answer: fill in the middle."
    )
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS, description="Answers to each prompt.")
    best_of: int | None = Field(
        None, ge=1, le=MAX_ANSWERS, description="Generate so many, return the n likeliest."
    )
    echo: bool | None = Field(None, description="Begin each answer with its prompt.")
    logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="Likeliest tokens to show for each token."
    )
    stream: bool | None = False
    stream_options: CompletionStreamOptions | None = None
    speculate: bool | None = Field(
        None, description="Whether tokens may be guessed ahead and checked together."
    )

    @model_validator(mode="after")
    def _answers_fit(self) -> Self:
        n = self.n or 1
        if self.best_of is not None and self.best_of < n:
            raise misfit("best_of", f"must be at least n, which is {n}")
        if self.stream and self.n_generated > n:
            raise misfit("best_of", "the best answers are known only at the end; not for a stream")
        field = "best_of" if self.n_generated > n else "n"
        if len(separate(self.prompt)) * self.n_generated > MAX_CHOICES:
            raise misfit(field, f"all prompts together may have {MAX_CHOICES} answers")
        if self.echo and self.suffix:
            raise misfit("echo", "does not go with suffix")
        return self

    @property
    def n_generated(self) -> int:
        """How many answers to each prompt are generated."""
        return self.best_of or self.n or 1


class LegacyLogprobs(BaseModel):
    """How likely tokens were; the first of a prompt has null. Offsets count characters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One answer; its index is the number of its prompt times n, plus its own."""

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
