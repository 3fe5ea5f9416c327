"""Owns the schemas of the prompt cache's state; must not know handlers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas.common import Strict

CacheTier = Literal["memory", "disk", "none"]
DiskState = Literal["ok", "off", "paused", "refused"]
CacheLayout = Literal["blocks", "blocks_and_states", "whole_states"]
NotRestored = Literal[
    "no_state", "window_lost", "not_worth_reading", "too_few", "no_room", "corrupt"
]


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
    matched_tokens: int = Field(description="Leading tokens that are cached, restorable or not.")
    not_restored: NotRestored | None = Field(
        description="Why `cached_tokens` are fewer than `matched_tokens`."
    )
    prompt_tokens: int
    first_difference: FirstDifference | None


class _Kinds(BaseModel):
    """Blocks and states of a tier."""

    blocks: int
    block_bytes: int
    states: int
    state_bytes: int


class MemoryTier(_Kinds):
    """Conversations in memory; `entries` are blocks and states."""

    entries: int
    bytes: int
    capacity_bytes: int
    hits: int


class DiskTier(_Kinds):
    """Prompts on disk; `entries` are blocks, states and pins; `capacity_bytes` all models'."""

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
    """One file of the loaded model on disk; times are seconds since 1970."""

    id: str
    kind: Literal["block", "state", "pin"]
    role: str
    profile: str
    start: int = Field(description="Of the first token whose rows it holds; `tokens` for none.")
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
    layout: CacheLayout | None = Field(description="How the model's state is kept.")
    layout_message: str = Field(description="Why as `whole_states`.")
    tiers: Tiers | None
    misses: dict[str, int]
    not_restored: dict[NotRestored, int] = Field(
        description="The misses with this reason, by a finer one."
    )
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
