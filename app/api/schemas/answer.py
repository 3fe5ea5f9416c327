"""Owns the shapes of token counts and times that several dialects answer with."""

from __future__ import annotations

from pydantic import BaseModel

from app.api.schemas.cache import CacheTier


class PromptTokensDetails(BaseModel):
    """How many prompt tokens the prompt cache saved."""

    cached_tokens: int


class CompletionTokensDetails(BaseModel):
    """How many generated tokens are reasoning."""

    reasoning_tokens: int


class UsageBody(BaseModel):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class TimingsBody(BaseModel):
    """Timings in milliseconds; names are llama-server's."""

    queue_ms: float
    ttft_ms: float
    tier: CacheTier
    restore_ms: float
    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_second: float | None
    predicted_n: int
    predicted_ms: float
    predicted_per_second: float | None
