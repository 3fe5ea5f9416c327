"""Owns the shape of errors at Ollama's paths, for the routes of more than one module."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from app.errors import QueueFull
from app.web.errors import Fault

PREFIX = "/api/"
"""All paths below it are Ollama's, also those without a route."""

STATUSES = {QueueFull.code: 503}
"""Statuses that differ from the service's, by error code: Ollama's clients know a full queue so."""

_BUSY = "server busy, please try again.  maximum pending requests exceeded"


class OllamaError(BaseModel):
    """Every error response; also the last line of a stream that failed."""

    error: str


def ollama_error_body(fault: Fault) -> dict[str, Any]:
    """Return the JSON body of an error as Ollama's clients read it."""
    return {"error": _BUSY if fault.code == QueueFull.code else fault.message}
