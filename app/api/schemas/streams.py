"""Owns the schemas of `/v1/stream` and `/v1/streams/lookup`; must not know handlers."""

from __future__ import annotations

from pydantic import BaseModel, Field, RootModel

from app.api.schemas.common import Lenient

MAX_LOOKED_UP = 1024


class LookupRequest(Lenient):
    """Body of `POST /v1/streams/lookup`."""

    conversation_ids: list[str] = Field(max_length=MAX_LOOKED_UP)


class StreamState(BaseModel):
    """A stream that a client can come back for."""

    conversation_id: str
    is_done: bool
    total_bytes: int = Field(description="Bytes sent so far.")
    first_byte: int = Field(description="The offset of the first byte that is still held.")
    started_at: int = Field(description="Seconds since 1970.")
    completed_at: int = Field(description="Seconds since 1970; 0 while it runs.")


class LookupResponse(RootModel[list[StreamState]]):
    """Those of the streams asked for that are kept."""
