"""Owns the schemas of the prompt cache's state; must not know handlers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas.common import Strict

CacheTier = Literal["memory", "disk", "none"]
DiskState = Literal["ok", "off", "paused", "refused"]


class FirstDifference(BaseModel):
    """Where a prompt diverges from the most similar cached one; texts are excerpts."""

    index: int = Field(description="Of the first token that differs.")
    before: str
    prompt: str
    cached: str


class CacheBody(BaseModel):
    """How much of a prompt was cached."""

    tier: CacheTier
    cached_tokens: int
    prompt_tokens: int
    first_difference: FirstDifference | None


class MemoryTier(BaseModel):
    """Conversations in memory."""

    entries: int
    bytes: int
    capacity_bytes: int
    hits: int


class DiskTier(BaseModel):
    """Prompts on disk; `entries` are this model's, `bytes` those of all models."""

    state: DiskState
    message: str
    folder: str
    entries: int
    bytes: int
    capacity_bytes: int
    hits: int
    saves: int
    evicted: int
    bad_entries: int
    waiting: int
    written_today_bytes: int
    daily_write_bytes: int


class Tiers(BaseModel):
    """The tiers of the prompt cache."""

    memory: MemoryTier
    disk: DiskTier


class EntryBody(BaseModel):
    """One prompt on disk; times are seconds since 1970."""

    id: str
    role: str
    profile: str
    tokens: int
    bytes: int
    created_s: float
    last_used_s: float


class ChangingHeadBody(BaseModel):
    """Instructions and tools that change at one place from request to request."""

    index: int = Field(description="Of the first token that changes.")
    head_tokens: int = Field(description="Tokens of the instructions and tools.")
    kind: Literal["time", "date", "identifier", "number", "state", "text"]
    places: int = Field(description="How many places change.")
    changes: int = Field(description="The latest changes that this is about.")
    tokens: int = Field(description="Prefilled again over it, per request.")
    seconds: float = Field(description="What that takes.")
    before: str = Field(description="Words before the place.")
    values: list[str] = Field(description="The latest words there.")
    message: str


class ModelUsage(BaseModel):
    """Disk usage of one model."""

    folder: str
    entries: int
    bytes: int


class CacheResponse(BaseModel):
    """Answer of `GET /cache`; all but `models` is about the loaded model, if any."""

    model: str | None
    tiers: Tiers | None
    misses: dict[str, int]
    entries: list[EntryBody]
    changing_heads: list[ChangingHeadBody]
    models: list[ModelUsage]


class ClearCacheResponse(BaseModel):
    """Answer of `DELETE /cache`: what was removed."""

    status: Literal["ok"]
    message: str
    entries: int
    bytes: int


class RestoreCacheResponse(Strict):
    """How much of the conversation is cached now."""

    status: Literal["ok"]
    message: str
    model: str
    prompt_tokens: int
    cached_tokens: int
    tier: CacheTier
    saved: bool = Field(description="Whether it is on disk.")
