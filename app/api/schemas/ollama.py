"""Owns what Ollama's paths have in common: the shape of errors, and that a body is required."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from app.errors import InvalidRequest, QueueFull
from app.web.errors import Fault
from app.web.json_body import parse

BodyT = TypeVar("BodyT", bound=BaseModel)

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


def parse_body(data: bytes, schema: type[BodyT]) -> BodyT:
    """Return the validated body of a request; that there is none is said in Ollama's words.

    Raises:
        InvalidRequest: no body, malformed JSON or an invalid field, which `param` names.
    """
    if not data.strip():
        raise InvalidRequest("missing request body", param="body")
    return parse(data, schema)
