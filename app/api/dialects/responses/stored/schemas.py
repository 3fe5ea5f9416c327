"""Owns the schemas of what is asked about stored responses."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class DeletedResponse(BaseModel):
    """Answer of `DELETE /responses/ID`."""

    id: str
    object: Literal["response"]
    deleted: bool


class InputItemList(BaseModel):
    """A page of the input items of a response."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
