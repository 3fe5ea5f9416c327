"""Owns the schema of a `[[clients]]` table; must not know keys or requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.config.tables import Table
from app.parameters.answer import MAX_TOKENS

TABLE = Table(
    "clients",
    "client",
    {
        "name": "the name of an API key: 1 to 64 of the characters A-Z a-z 0-9 . _ -",
        "max_tokens_limit": f"a whole number from 1 to {MAX_TOKENS}",
    },
)


class ClientSetting(BaseModel):
    """What is configured of a client.

    Args:
        name: that of its API key.
        max_tokens_limit: takes the place of the setting of that name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    max_tokens_limit: Annotated[int, Field(ge=1, le=MAX_TOKENS, strict=True)] | None = None
